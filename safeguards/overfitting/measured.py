"""The gap measured row by row: the same weights, in eval mode, on a bounded sample of training and validation rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from safeguards.core.batch import BatchFields
from safeguards.core.errors import ConfigurationError, NotApplicable
from safeguards.core.identity import mix
from safeguards.core.intervals import alpha_of_look
from safeguards.core.predictions import Capture, StepOutputs
from safeguards.core.rows import Rows, Sample, read_rows
from safeguards.core.training_rows import choose, drawn_from, generators_kept, handed_over, training_loader
from safeguards.core.verdict import Measurement
from safeguards.overfitting.kept import KeptBatches
from safeguards.overfitting.measures import classification_losses, generalization_gap
from safeguards.overfitting.shared import count_shared

INSTEAD = "OverfittingGuard(train=, validation=)"

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from safeguards.core.scene import Scene

__all__ = ["MeasuredGap", "Seen"]

ROWS_PER_SORTING = 65_536
ROWS_READ_AGAIN = 32


@dataclass
class Seen:
    """Losses of validation rows: a bounded sample, how many of all rows had none that is finite, where rows stand."""

    sample: Sample[float]
    rows: int = 0
    broken: int = 0
    places: list[Tensor] = field(default_factory=list)
    waiting: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def add(self, ids: Tensor, losses: Tensor) -> None:
        """Rows wait until they are worth sorting: that for each batch costs more than its forward."""
        self.waiting.append((ids, losses))
        self.rows += len(losses)
        self.broken += int((~losses.isfinite()).sum())
        if sum(len(waiting) for waiting, _ in self.waiting) >= ROWS_PER_SORTING:
            self.sort()

    def sort(self) -> None:
        if self.waiting:
            ids, losses = (torch.cat(parts) for parts in zip(*self.waiting, strict=True))
            self.sample.offer(ids, losses)
            self.waiting.clear()


@dataclass(frozen=True, kw_only=True)
class MeasuredGap:
    """How to measure: at most ``samples`` rows of each side, chosen by ``seed``; the rest as in `OverfittingGuard`."""

    name: ClassVar[str] = "measured"
    judges_at: ClassVar[Literal["validation"]] = "validation"
    fields: BatchFields
    samples: int
    fewest_rows: int
    alpha: float
    seed: int
    loss: Callable[[Tensor, Tensor], Tensor] | None
    kept: KeptBatches = field(default_factory=KeptBatches, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.fields.target is None:
            raise ConfigurationError(
                "OverfittingGuard(fields=BatchFields(target=None)): a loss needs the target, name it as in target=1"
            )

    @property
    def unit(self) -> str:
        return "nats" if self.loss is None else ""

    def forget(self) -> None:
        """Another fit may train on other rows."""
        self.kept.forget()

    def begin(self) -> Seen:
        return Seen(Sample(k=self.samples, seed=self.seed))

    def note(self, trainer: Trainer) -> None:
        """What the module logs is not looked at."""

    def observe(self, seen: Seen, rows: Rows) -> None:
        """Local: take in the validation rows of one batch."""
        rows.logits()  # on partitioned weights a collective, which a rank with copies alone must not miss
        if rows.n == 0:
            return
        seen.add(rows.ids, self._losses(rows))
        if rows.positions is not None:
            seen.places.append(rows.positions)

    def examine(self, seen: Seen, scene: Scene) -> Measurement:
        """All ranks together: forwards over the training rows, then the gap."""
        seen.sort()
        rows, broken = scene.ranks.sum(torch.tensor([seen.rows, seen.broken])).tolist()
        validation = _everywhere([loss for _, loss in seen.sample.settle(scene.ranks)], scene)
        if broken:
            fault = f"{broken} of {rows} validation rows have a loss that is not a finite number"
            return Measurement(value=math.nan, n=rows, unit=self.unit, model_fault=fault)
        loader, places = self._training_set(scene)
        found = generalization_gap(
            self._training_losses(loader, places, scene),
            validation,
            alpha=alpha_of_look(self.alpha, scene.look),
            unit=self.unit,
            fewest_rows=self.fewest_rows,
        )
        return replace(
            found,
            note="measured row by row on the same weights",
            shrunk=_trained_on(seen, loader.dataset, places, scene),
        )

    def _training_set(self, scene: Scene) -> tuple[DataLoader[Any], Sequence[int]]:
        """All ranks: the loader that trains, and the positions in its data set that it draws."""
        try:
            loader = training_loader(scene.trainer, scene.module)
            places = drawn_from(loader, scene.trainer)
        except NotApplicable as error:
            raise NotApplicable(f"{error}; or judge what was logged: {INSTEAD}") from error
        if len(set(scene.ranks.gather(len(places)))) > 1:
            raise NotApplicable("the training set has another size on another process: give all the same set")
        return loader, places

    def _training_losses(self, loader: DataLoader[Any], places: Sequence[int], scene: Scene) -> list[float]:
        """Each rank takes every world-th row of the sample, in as many forwards as any other: ZeRO-3 needs that."""
        ranks = scene.ranks
        wanted = scene.rows_within_budget(min(self.samples, len(places)))
        chosen = [int(places[i]) for i in choose(len(places), wanted, self.seed)]
        padded = math.ceil(len(chosen) / ranks.world) * ranks.world
        mine = [chosen[i % len(chosen)] for i in range(ranks.rank, padded, ranks.world)]
        with generators_kept(loader.dataset):
            self._forget_changed(loader, asked_again(chosen, scene.look, self.seed), scene)
            losses = self._losses_at(mine, loader, scene)
        return _everywhere(losses[: len(range(ranks.rank, len(chosen), ranks.world))], scene)

    def _forget_changed(self, loader: DataLoader[Any], asked: Sequence[int], scene: Scene) -> None:
        """All ranks: each asks its set for those rows of its own, and what one finds changed all read anew."""
        if scene.ranks.any(self.kept.has_changed(loader, asked, self.seed)):
            self.kept.forget()

    def _losses_at(self, places: Sequence[int], loader: DataLoader[Any], scene: Scene) -> list[float]:
        size, losses = getattr(loader.batch_sampler, "batch_size", 1), list[float]()
        with scene.progress("training rows", math.ceil(len(places) / size)) as told:
            for start in range(0, len(places), size):
                read = partial(self._training_rows, places[start : start + size], loader, scene)
                losses += self._losses(scene.ranks.together(read)).tolist()
                told()
        return losses

    def _training_rows(self, places: Sequence[int], loader: DataLoader[Any], scene: Scene) -> Rows:
        batch = handed_over(self.kept.read(loader, places, self.seed), scene.trainer, scene.module)
        fields = BatchFields(inputs=self.fields.inputs, target=self.fields.target)
        outputs = StepOutputs(
            step=None,
            capture=None,
            batch_rows=len(places),
            make=partial(_outputs, scene, len(places)),
            check=scene.logits,
            lockstep=scene.partitioned,
        )
        return read_rows(batch, fields, arrived=0, positions=None, size=None, predict=outputs)

    def _losses(self, rows: Rows) -> Tensor:
        """float64 ``(N,)`` on the CPU. Fields without a target were refused."""
        target = cast(Tensor, rows.target)
        if self.loss is None:
            return classification_losses(rows.logits().cpu(), target.cpu())
        losses = self.loss(rows.logits(), target)
        if not isinstance(losses, Tensor) or losses.shape != (rows.n,):
            got = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
            raise NotApplicable(f'loss= gave {got} for {rows.n} rows: expected one loss per row, as reduction="none"')
        return losses.detach().double().cpu()


def asked_again(chosen: Sequence[int], look: int, seed: int) -> list[int]:
    """The rows of a sample that are asked at this look (from 1) whether they have changed: others at each next one.

    In an order by hash, the same for all processes; none is asked again before all others of the sample were.
    """
    order = mix(torch.tensor(chosen), seed).argsort().tolist()
    first = (look - 1) * ROWS_READ_AGAIN
    return [chosen[order[(first + i) % len(order)]] for i in range(min(ROWS_READ_AGAIN, len(order)))]


def _trained_on(seen: Seen, dataset: Any, drawn: Sequence[int], scene: Scene) -> str | None:
    """All ranks: what to say where training draws rows of validation too; their losses hide the gap that there is."""
    places = torch.cat([torch.empty(0, dtype=torch.int64), *seen.places])
    if len(places) < seen.rows:  # a loader in an order of its own: any row of its set, which the first process counts
        places = torch.arange((scene.loader.size or 0) if scene.ranks.rank == 0 else 0)
    shared_here = scene.ranks.together(lambda: count_shared(dataset, drawn, scene.loader.dataset, places))
    shared, rows = scene.ranks.sum(torch.tensor([shared_here, len(places)])).tolist()
    if not shared:
        return None
    said = f"training draws {shared} of the {rows} validation rows too"
    return f"{said}, so the gap on new rows is wider than what is measured: validate on rows that it does not draw"


def _outputs(scene: Scene, n: int, inputs: Any) -> Any:
    """Outputs for training rows, which no step has made: those of the submodule ``outputs_of``, else the forward's."""
    if scene.how.outputs_of is None or scene.how.predict is not None:
        return scene.forward(inputs)
    capture = Capture(scene.module, scene.how.outputs_of)
    try:
        scene.forward(inputs)
    finally:
        capture.close()
    return capture.output(n)


def _everywhere(losses: list[float], scene: Scene) -> list[float]:
    return [loss for part in scene.ranks.gather(losses) for loss in part]
