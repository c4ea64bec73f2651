"""One moment of judgement: rows come in batch by batch, measurements come out, verdicts follow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils._pytree import tree_flatten_with_path

from safeguards.core.errors import NotApplicable, RankError
from safeguards.core.identity import Places
from safeguards.core.judging import Entry, judge
from safeguards.core.partition import is_partitioned
from safeguards.core.predictions import Capture, StepOutputs
from safeguards.core.ranks import Ranks
from safeguards.core.reading import Desk, Group, Reader, Step, only_takes, takes_none
from safeguards.core.repeats import Repeats
from safeguards.core.rows import Rows
from safeguards.core.safeguard import Safeguard
from safeguards.core.scene import Loader, Scene
from safeguards.core.verdict import Moment, Verdict
from safeguards.core.watching import Trace

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.batch import BatchFields

__all__ = ["Watch", "loaders_of"]


def loaders_of(loaders: Any) -> list[tuple[str | None, Any]]:
    """The loaders of a stage by name: keys of a dict, positions of a list, None for the only one."""
    flat = [(path, loader) for path, loader in tree_flatten_with_path(loaders)[0] if loader is not None]
    return [(None if len(flat) == 1 else ".".join(map(_step_name, path)), loader) for path, loader in flat]


def _step_name(step: Any) -> str:
    return str(step.key if hasattr(step, "key") else step.idx)


class Watch:
    """Feeds the safeguards of a run while one stage runs, and turns what they found into verdicts."""

    def __init__(
        self,
        *,
        trainer: Trainer,
        module: LightningModule,
        ranks: Ranks,
        stage: str,
        directory: Path,
        fit_seconds: Callable[[], float],
    ) -> None:
        self.trainer, self.module, self.ranks, self.stage = trainer, module, ranks, stage
        self.directory, self.fit_seconds = directory, fit_seconds
        self.partitioned = is_partitioned(module) or "FSDP" in type(trainer.strategy).__name__
        self._reader = Reader(trainer=trainer, module=module, ranks=ranks, stage=stage, partitioned=self.partitioned)
        self.desks: list[Desk] = []
        self.errors: dict[Safeguard, Exception] = {}
        self.left_out: list[Safeguard] = []
        self._captures: dict[str, Capture | Exception] = {}
        self._trace = Trace(module)

    def over_loaders(self, safeguards: Sequence[Safeguard], loaders: Any) -> None:
        """Take up every loader of the stage."""
        shares = self._shares(safeguards)
        for name, loader in loaders_of(loaders):
            places = Places.of(loader, self.ranks)
            dataset = getattr(loader, "dataset", None)
            entries = [
                self._entry(
                    s, Loader(name=name, dataset=dataset, size=places.size, identified=_identified(s, places)), q
                )
                for s, q in shares
            ]
            self.desks.append(Desk(name=name, places=places, entries=entries))
            repeats: dict[BatchFields | None, Repeats] = {}
            for entry in entries:
                fields = entry.safeguard.fields
                entry.repeats = repeats.setdefault(fields, Repeats.of(loader, fields))
        if (mode := _mode(self.trainer)) != "sequential":
            self._refuse(
                f"the loaders are combined as {mode!r}: rows can be told apart only where they come one by one; "
                'give a list of loaders, or CombinedLoader(loaders, mode="sequential")'
            )

        if self.partitioned and self.ranks.world > 1:
            self._refuse_uneven()

    def _refuse_uneven(self) -> None:
        """All ranks: where weights are in parts a forward takes all of them, and one with a batch more would wait.

        That of the user's own step waits too, and so what is wrong is told before it does.
        """
        trainer, world = self.trainer, self.ranks.world
        own = trainer.num_val_batches if self.stage == "validate" else trainer.num_test_batches
        counts = self.ranks.gather(own if isinstance(own, list) else [own])
        for desk, each in zip(self.desks, zip(*counts, strict=False), strict=False):
            if len(set(each)) == 1:
                continue
            why = (
                f"the loader gives the processes {', '.join(map(str, each))} batches: with weights in parts all of "
                "them make every forward together, so give each as many, as Lightning's own sampler does"
            )
            if self.ranks.rank == 0:
                warnings.warn(f"not judged, and a step that calls the model will wait for ever: {why}", stacklevel=2)
            for entry in desk.entries:
                entry.error = RankError([(rank, why) for rank in range(world)], world=world)

    def _refuse(self, why: str) -> None:
        for desk in self.desks:
            for entry in desk.entries:
                entry.error = NotApplicable(why)

    def over_nothing(self, safeguards: Sequence[Safeguard]) -> None:
        """Take up a moment without rows, such as the end of a training epoch."""
        entries = [self._entry(safeguard, Loader(), share) for safeguard, share in self._shares(safeguards)]
        self.desks.append(Desk(name=None, places=Places(rows=None, copies=None, size=None), entries=entries))

    def _shares(self, safeguards: Sequence[Safeguard]) -> list[tuple[Safeguard, float]]:
        """All ranks: who judges at this moment, and the share of its rows that its cap allows."""
        shares = [(safeguard, safeguard.meter.begin_look(self.fit_seconds(), self.ranks)) for safeguard in safeguards]
        self.left_out = [safeguard for safeguard, share in shares if not share]
        return [(safeguard, share) for safeguard, share in shares if share]

    def _entry(self, safeguard: Safeguard, loader: Loader, share: float) -> Entry:
        moment = Moment(
            stage=self.stage, epoch=self.trainer.current_epoch, step=self.trainer.global_step, loader=loader.name
        )
        scene = Scene(
            trainer=self.trainer,
            module=self.module,
            ranks=self.ranks,
            moment=moment,
            loader=loader,
            look=safeguard.next_look(self.stage, loader.name),
            directory=self.directory,
            partitioned=self.partitioned,
            how=safeguard.how,
            budget=lambda wanted: entry.budget(wanted),
        )
        entry = Entry(safeguard=safeguard, scene=scene, share=share)
        self._start(entry)
        return entry

    def _start(self, entry: Entry) -> None:
        with entry.safeguard.meter.running(), self._trace.hidden():
            try:
                _thin(entry)
                entry.state = entry.safeguard.prepare(entry.scene)
            except Exception as error:
                entry.error = error

    @cached_property
    def captures(self) -> set[str]:
        """Submodules whose outputs safeguards ask for."""
        asked = [entry.safeguard.how for desk in self.desks for entry in desk.entries]
        return {name for how in asked for name in (how.outputs_of, how.features_of) if name is not None}

    def before_step(self) -> None:
        """Set the captures that safeguards ask for."""
        for name in self.captures:
            try:
                self._captures[name] = Capture(self.module, name)
            except Exception as error:
                self._captures[name] = error

    def after_step(self, outputs: Any, batch: Any, loader: int) -> None:
        """Show one batch to every safeguard."""
        if loader >= len(self.desks):
            self._refuse(f"the trainer named loader {loader} of {len(self.desks)}")
            return
        desk = self.desks[loader]
        captures, self._captures = self._captures, {}
        for capture in captures.values():
            if isinstance(capture, Capture):
                capture.close()
        for entry in desk.streamed:
            with entry.safeguard.meter.running(), self._trace.hidden():
                entry.repeats.note(batch)
        expected = desk.places.expected(desk.arrived) or 0
        step = Step(batch=batch, outputs=outputs, captures=captures, start=desk.arrived, rows=max(0, expected))
        waiting = {entry for group in desk.groups if self._keep(group, desk, step) for entry in group.entries}
        others = [e for e in desk.entries if e not in waiting and not takes_none(e, desk, self.partitioned)]
        if others:
            self._show_all(others, desk, step)
        desk.arrived += step.rows

    def _keep(self, group: Group, desk: Desk, step: Step) -> bool:
        """Copy what a group asks of this step, to be read with other steps; False where that cannot be."""
        first = group.entries[0]
        fields, quiet = first.safeguard.fields, only_takes(first, step)
        if fields is None or (not quiet and takes_none(first, desk, self.partitioned)):
            return False
        with first.safeguard.meter.running(), nullcontext() if quiet else self._trace.hidden():
            part = self._reader.part(first, desk, step, fields)
        if part is None:
            return False
        if not group.block.fits(part):
            self._show_block(group, desk)
        group.block.add(part)
        return True

    def _show_block(self, group: Group, desk: Desk) -> None:
        """Local: what waits is read, and shown to every entry of the group."""
        try:
            with group.entries[0].safeguard.meter.running():
                part = group.block.take()
        except Exception as error:  # as where memory is short
            for entry in group.entries:
                entry.error = entry.error or error
            return
        if part is not None:
            self._show_all(group.entries, desk, Step.of(part))

    def _show_all(self, entries: Sequence[Entry], desk: Desk, step: Step) -> None:
        """To hide what they do, from the first to the last, is on the first one's account."""
        with ExitStack() as hiding:
            for entry in entries:
                with entry.safeguard.meter.running():
                    if entry is entries[0]:
                        hiding.enter_context(self._trace.hidden())
                    self._show(entry, desk, step)
            with entries[0].safeguard.meter.running():
                hiding.close()

    def _show(self, entry: Entry, desk: Desk, step: Step) -> None:
        fields = entry.safeguard.fields
        if fields is None or isinstance(entry.error, RankError):
            return
        try:
            self._observe(entry, *self._reader.read(entry, desk, step, fields))
        except Exception as error:
            entry.error = entry.error or error

    def _observe(self, entry: Entry, rows: Rows, source: StepOutputs) -> None:
        if rows.n == 0:
            return
        if self.ranks.world > 1 and rows.identified and rows.positions is None:
            entry.held.append(rows if entry.safeguard.reads_inputs else rows.without_inputs())
            if not source.own_forward:
                rows.logits()
        else:
            entry.show(rows.without_inputs() if entry.safeguard.in_blocks else rows)

    def conclude(self) -> list[Verdict]:
        """All ranks together: the verdicts of this moment, in the order of the safeguards."""
        for desk in self.desks:
            for group in desk.groups:
                self._show_block(group, desk)
        entries = [entry for desk in self.desks for entry in desk.entries]
        reached = [verdict for entry in entries for verdict in judge(entry, self.fit_seconds)]
        for safeguard in {entry.safeguard: None for entry in entries}:
            safeguard.meter.end_look(self.ranks)
        self.errors = {entry.safeguard: entry.error for entry in entries if entry.error is not None}
        return reached


def _mode(trainer: Trainer) -> str:
    """How Lightning goes through several loaders."""
    combined = getattr(getattr(trainer, "_evaluation_loop", None), "_combined_loader", None)
    return str(getattr(combined, "_mode", "sequential"))


def _identified(safeguard: Safeguard, places: Places) -> bool:
    return places.rows is not None or (safeguard.fields is not None and safeguard.fields.row_id is not None)


def _thin(entry: Entry) -> None:
    """Of a set without a size the share of its rows is kept, whatever they are in number."""
    size, share = entry.scene.loader.size, entry.share
    if entry.safeguard.fields is None or share == 1:
        return
    if size is None:
        entry.safeguard.meter.take(share)
        entry.cut = f"max_share_of_fit allowed 1 row in {round(1 / share)}"
    elif size:
        share = entry.budget(size) / size
    if share < 1:
        entry.keep_below = int(-(2**63) + 2**64 * share)
        entry.scene = replace(entry.scene, thinned=True)
