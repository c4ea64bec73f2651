"""The owner: one run per trainer, with its ledger, its id, the order of judging and the one reaction per moment."""

from __future__ import annotations

import re
import secrets
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from safeguards.core import ending, metrics
from safeguards.core.books import Books
from safeguards.core.compat import WATCHED_STEP
from safeguards.core.ending import Summary
from safeguards.core.errors import LimitViolated
from safeguards.core.files import local_root
from safeguards.core.names import encode, labels
from safeguards.core.process import was_told_to_end
from safeguards.core.ranks import Ranks, describe
from safeguards.core.safeguard import Safeguard
from safeguards.core.stopping import Stop
from safeguards.core.verdict import Cost, Moment, Outcome, Verdict
from safeguards.core.watch import Watch
from safeguards.core.weights import Judged

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

__all__ = ["Run", "Summary", "at_work", "verdicts"]

RUN_ID = re.compile(r"[\w-]{1,80}")
STRENGTH = {"record": 0, "stop": 1, "raise": 2}
_RUNS: WeakKeyDictionary[Any, Run] = WeakKeyDictionary()


def verdicts(trainer: Trainer) -> list[Verdict]:
    """Every verdict of this trainer's safeguards in this process, oldest first; the same on all ranks."""
    run = _RUNS.get(trainer)
    return [] if run is None else list(run.verdicts)


def at_work() -> str | None:
    """The id of a run of this process that is fitting, validating or testing now; the newest of several, else None."""
    return next((run.run_id for run in reversed(list(_RUNS.values())) if run._open), None)


class Run:
    """Held weakly by its trainer; holds no trainer and no module itself."""

    def __init__(self, trainer: Trainer) -> None:
        self.ranks = Ranks.of(trainer)
        self.run_id = self.ranks.broadcast(f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}")
        self._safeguards: list[ref[Safeguard]] = []
        self.verdicts: list[Verdict] = []
        self.ended = "finished"
        self._root = local_root(trainer.default_root_dir)
        self._watch: Watch | None = None
        self._reached: list[Verdict] = []
        self._started: float | None = None
        self._told = 0
        self._open = False
        self._stop = Stop()
        self._books = Books()
        self._judged, self._trained = Judged(), False
        self._costs: dict[str, Cost] = {}

    @classmethod
    def of(cls, trainer: Trainer) -> Run:
        """The run of this trainer; made on first use, by all ranks together."""
        if trainer not in _RUNS:
            _RUNS[trainer] = cls(trainer)
        return _RUNS[trainer]

    @classmethod
    def known(cls, trainer: Trainer) -> Run | None:
        """The run of this trainer, if it has one yet. Local."""
        return _RUNS.get(trainer)

    @property
    def safeguards(self) -> list[Safeguard]:
        """In the order of judging. Held weakly: Lightning ties every callback to its module, and so to its trainer."""
        return [safeguard for held in self._safeguards if (safeguard := held()) is not None]

    @property
    def directory(self) -> Path:
        """Where this run keeps its ledger and reports."""
        return self._root / "safeguards" / self.run_id

    def adopt(self, run_id: str) -> None:
        """Go on under the id of the checkpoint that is being resumed. An id that is no plain name is not trusted."""
        if RUN_ID.fullmatch(run_id):
            self.run_id = run_id
        else:
            warnings.warn(f"the checkpoint's run id {run_id[:40]!r} is no name: a new run begins", stacklevel=2)

    def join(self, safeguard: Safeguard, trainer: Trainer) -> None:
        """Take in the trainer's safeguards, ahead of every other callback, so that those see this moment's metrics."""
        self.ranks = Ranks.of(trainer)
        callbacks: list[Any] = vars(trainer)["callbacks"]
        watching = [callback for callback in callbacks if isinstance(callback, Safeguard)]
        others = [callback for callback in callbacks if not isinstance(callback, Safeguard)]
        if callbacks[: len(watching)] != watching:
            vars(trainer)["callbacks"] = [*watching, *others]
        self._safeguards = [ref(safeguard) for safeguard in watching]
        self._label()
        self._leave()
        self._open = True

    def _label(self) -> None:
        named = labels((safeguard.name, safeguard.topic) for safeguard in self.safeguards)
        for safeguard, label in zip(self.safeguards, named, strict=True):
            safeguard.label = label

    def is_led_by(self, safeguard: Safeguard) -> bool:
        """Whether this safeguard passes the trainer's hooks on, so that everything happens once."""
        return bool(self._safeguards) and self._safeguards[0]() is safeguard

    def begin(self) -> None:
        """The clock of the fit starts."""
        self._started, self.ended, self._judged = time.perf_counter(), "finished", Judged()

    def announce(self, trainer: Trainer) -> None:
        """Training begins, and a checkpoint to resume has been read: the run id is settled."""
        if self.ranks.rank == 0:
            ending.announce(trainer, self.run_id, self.directory)

    def elapsed(self) -> float:
        """Seconds since the fit began on this rank; 0 outside a fit."""
        return 0.0 if self._started is None else time.perf_counter() - self._started

    def open(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """A validation or a test begins. The sanity check judges nothing: its weights are untrained."""
        self._leave()
        watching = [s for s in self.safeguards if s.judges_at == "validation"]
        if trainer.sanity_checking or not watching:
            return
        self._watch = self._new_watch(trainer, module, stage)
        loaders = trainer.val_dataloaders if stage == "validate" else trainer.test_dataloaders
        self._watch.over_loaders(watching, loaders)
        self._spare_steps(self._watch)

    def _spare_steps(self, watch: Watch) -> None:
        """While this watch lasts only the leader has anything to do at a step, and before it only to set captures.

        The hooks of the other stage stay: a class may pass its own hook on to the one of that name.
        """
        before, after = WATCHED_STEP[watch.stage]
        idle = () if watch.captures else (before,)
        for safeguard in self.safeguards:
            safeguard.enter_steps(but=idle if self.is_led_by(safeguard) else (before, after))

    def _leave(self) -> Watch | None:
        """The watch that is over, if there was one."""
        watch, self._watch = self._watch, None
        if watch is not None:
            for safeguard in self.safeguards:
                safeguard.enter_steps()
        return watch

    def _new_watch(self, trainer: Trainer, module: LightningModule, stage: str) -> Watch:
        return Watch(
            trainer=trainer,
            module=module,
            ranks=self.ranks,
            stage=stage,
            directory=self.directory,
            fit_seconds=self.elapsed,
        )

    def before_step(self, module: LightningModule) -> None:
        """A validation or test step is about to run."""
        if self._watch is not None:
            self._watch.before_step()

    def after_step(self, module: LightningModule, outputs: Any, batch: Any, loader: int) -> None:
        """A validation or test step has run."""
        if self._watch is not None:
            self._watch.after_step(outputs, batch, loader)

    def examine(self) -> None:
        """The last batch has been seen: every safeguard judges the weights that were validated.

        What averages weights swaps them back at the end of this very hook, so it must not wait for the next.
        """
        if self._watch is not None:
            self._reached = self._watch.conclude()
            self._note("validation", self._watch.module, self._reached)

    def judge(self, trainer: Trainer, module: LightningModule) -> None:
        """A validation or test is over: verdicts are kept and logged, then all react once."""
        watch = self._leave()
        if watch is not None:
            self._conclude(trainer, watch, self._reached)

    def judge_epoch(self, trainer: Trainer, module: LightningModule) -> None:
        """A training epoch is over: safeguards that compare metrics of one epoch judge now."""
        due = [s for s in self.safeguards if s.judges_at == "train_epoch"]
        if due:
            watch = self._new_watch(trainer, module, "train_epoch")
            watch.over_nothing(due)
            reached = watch.conclude()
            self._note("train_epoch", module, reached)
            self._conclude(trainer, watch, reached)

    def _note(self, kind: str, module: LightningModule, reached: list[Verdict]) -> None:
        if reached and self._started is not None:
            self._judged.note(kind, module, reached[-1].moment, self.ranks)

    def _conclude(self, trainer: Trainer, watch: Watch, reached: list[Verdict]) -> None:
        self._keep(reached)
        metrics.log(trainer, watch, reached)
        if self.ranks.rank == 0:
            ending.note(trainer, reached)
        self._react(trainer, reached, watch.errors)

    def _keep(self, reached: list[Verdict]) -> None:
        self.verdicts += reached
        if self.ranks.rank == 0 and reached:
            self._books.keep(self.directory, reached, self._encoded())

    def _encoded(self) -> dict[str, str]:
        names = {s.label: s.name for s in self.safeguards if s.label != s.name}
        loaders = [loader for v in self.verdicts if (loader := v.moment.loader)]
        return names | {encode(loader): loader for loader in loaders if encode(loader) != loader}

    def _totals(self) -> dict[str, Any]:
        return {
            s.label: {"seconds": s.meter.agreed_seconds, "share_of_fit": self._costs[s.label].share_of_fit}
            for s in self.safeguards
            if s.label in self._costs
        }

    def _react(self, trainer: Trainer, reached: list[Verdict], errors: dict[Safeguard, Exception]) -> None:
        fatal = [error for safeguard, error in errors.items() if safeguard.on_error == "raise"]
        asked = [s.reaction_to([v for v in reached if v.safeguard == s.label]) for s in self.safeguards]
        strength = int(self.ranks.max(max((STRENGTH[reaction] for reaction in asked), default=0)))
        if fatal:
            raise fatal[0]
        failed = [v for v in reached if v.outcome is Outcome.FAIL]
        if strength == STRENGTH["raise"]:
            raise LimitViolated(failed)
        if strength == STRENGTH["stop"] and trainer.state.fn == "fit":
            self._stop.at_next_step(trainer)
            self.ended = "stopped_for_safety"

    def end_of_training(self, trainer: Trainer, module: LightningModule) -> None:
        """All ranks, while weights and processes are still there: second opinions, last work, and who never judged."""
        moment = Moment(stage="fit_end", epoch=trainer.current_epoch, step=trainer.global_step)
        errors: list[Verdict] = []
        for safeguard in self.safeguards:
            with safeguard.meter.running():
                errors += ending.second_opinion(safeguard, moment, self.ranks)
                errors += ending.last_work(safeguard, trainer, module, moment, self.ranks)
            self._costs[safeguard.label] = safeguard.meter.settle_after_training(self.elapsed(), self.ranks)
        self._keep(errors)
        self._keep(ending.silence(self.safeguards, self.verdicts[self._told :], moment, ending.why_silent(trainer)))
        self._stop.restore(trainer)
        self._trained = True
        ending.raise_what_is_fatal(self.safeguards, errors)

    def broken_off(self, trainer: Trainer, exception: BaseException) -> None:
        """The job ends with an exception: no rank may wait for another any more. What is closed already stays so."""
        if not self._open:
            return
        otherwise = "killed" if was_told_to_end(exception) else "crashed"
        self.ended = "raised" if isinstance(exception, LimitViolated) else otherwise
        self._leave()
        self._trained = False
        moment = Moment(stage="exception", epoch=trainer.current_epoch, step=trainer.global_step)
        new, how = self.verdicts[self._told :], f"the job ended with {describe(exception)}"
        self._keep(ending.silence(self.safeguards, new, moment, f"{how} before the first judgement"))
        if trainer.state.fn == "fit":
            due = [s for s in self.safeguards if s.judges_weights]
            self._keep(ending.left_behind(due, new, moment, f"{how}, steps after the last judgement"))
        self._stop.restore(trainer)
        self.close(trainer)

    def close(self, trainer: Trainer) -> None:
        """The stage is over: print what is new and hand the whole to loggers, once, on rank 0."""
        if not self._open:
            return
        self._leave()
        if trainer.state.fn != "predict":
            self._conclude_stage(trainer)
        self._open = False

    def _conclude_stage(self, trainer: Trainer) -> None:
        stage = str(trainer.state.fn.value if trainer.state.fn else "")
        moment = Moment(stage=f"{stage}_end", epoch=trainer.current_epoch, step=trainer.global_step)
        due = [s for s in self.safeguards if stage == "fit" or s.judges_at == "validation"]
        self._keep(ending.silence(due, self.verdicts[self._told :], moment, ending.why_silent(trainer)))
        if self._trained:
            self._keep(self._outdated(trainer, moment))
        if self.ranks.rank == 0:
            ending.tell(self.verdicts[self._told :], self.directory, self._costs)
            self._books.keep_costs(self.directory, self._totals())
            ending.publish(trainer, self.summary())
        for safeguard in self.safeguards:
            safeguard.meter.begin_fit()
        self._told, self._started, self._trained, self._costs = len(self.verdicts), None, False, {}

    def _outdated(self, trainer: Trainer, moment: Moment) -> list[Verdict]:
        """All ranks, once every callback has had its last word: NOT_EVALUATED where other weights were judged."""
        why = self._judged.since(trainer.lightning_module, self.ranks)
        new, due = self.verdicts[self._told :], [s for s in self.safeguards if s.judges_weights]
        in_time = [s for s in due if not s.meter.left_out]
        return ending.overlooked(due, new, moment) + ending.outdated(in_time, new, moment, why)

    def summary(self) -> Summary:
        """The run as loggers get it."""
        return Summary(run_id=self.run_id, directory=self.directory, verdicts=tuple(self.verdicts), ended=self.ended)
