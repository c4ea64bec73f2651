"""Reading a metric that the user logged, and being sure which epoch it belongs to.

Lightning's ``callback_metrics`` keeps a value until it is overwritten, so the number under a name may be an epoch old,
or one batch's. The collection behind it knows what was logged since the epoch began.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from safeguards.core.errors import NotApplicable
from safeguards.core.ranks import describe
from safeguards.core.verdict import Measurement
from safeguards.overfitting.measures import gap_of_metrics

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from safeguards.core.ranks import Ranks
    from safeguards.core.rows import Rows
    from safeguards.core.scene import Scene

__all__ = ["LoggedGap", "epoch_value", "synced"]


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A metric at the end of a validation: its value, or why there is none."""

    epoch: int
    step: int
    value: float
    problem: str | None


class LoggedGap:
    """The metrics named ``train`` and ``validation``. ``still`` asks for weights that rest since that validation."""

    name = "logged"
    judges_at: Literal["train_epoch"] = "train_epoch"

    def __init__(self, *, train: str, validation: str, still: bool) -> None:
        self.train, self.validation, self.still = train, validation, still
        self._noted: Noted | None = None

    def forget(self) -> None:
        """A fit begins: a validation of the one before, which may have crashed, is not its own."""
        self._noted = None

    def begin(self) -> None:
        """There is nothing to collect: the module has done it."""

    def observe(self, seen: None, rows: Rows) -> None:
        """Rows are not looked at."""

    def note(self, trainer: Trainer) -> None:
        """Local, at the end of a validation: keep what it logged, or why it did not."""
        value, problem = math.nan, None
        try:
            value = epoch_value(trainer, self.validation)
        except NotApplicable as error:
            problem = describe(error)
        self._noted = Noted(epoch=trainer.current_epoch, step=trainer.global_step, value=value, problem=problem)

    def examine(self, seen: None, scene: Scene) -> Measurement | None:
        """All ranks, at the end of a training epoch: the gap, or None when no validation ran in this epoch.

        Raises `NotApplicable` when a metric is missing, stale, of one batch only, or differs between the ranks.
        """
        noted = self._noted
        if noted is None or noted.epoch != scene.moment.epoch:
            return None
        train = epoch_value(scene.trainer, self.train)
        if noted.problem is not None:
            raise NotApplicable(noted.problem)
        if self.still and noted.step != scene.moment.step:
            raise NotApplicable(
                f"restore_best: the weights have moved since the validation at step {noted.step}: validate at the end "
                "of the epoch (val_check_interval=1.0) or give fields="
            )
        train = synced(self.train, train, scene.ranks)
        validation = synced(self.validation, noted.value, scene.ranks)
        return gap_of_metrics(train, validation, names=(self.train, self.validation))


def epoch_value(trainer: Trainer, name: str) -> float:
    """The value of ``name`` over the epoch of the loop that is running.

    Raises `NotApplicable` when it was not logged in this epoch, or only for single batches.
    """
    values = trainer.callback_metrics
    logged = [metric for metric in _results(trainer).values() if not metric.has_reset]
    over_epoch = {
        shown for metric in logged if metric.meta.on_epoch for shown in _names(trainer, metric, on_step=False)
    }
    if name in over_epoch and name in values:
        return float(values[name])
    if any(name in _names(trainer, metric, on_step=True) for metric in logged if metric.meta.on_step):
        raise NotApplicable(f"{name!r} is the value of one batch: log it with on_epoch=True")
    raise NotApplicable(f"{name!r} {_why_missing(name, values)}; available: {_nearest(name, over_epoch)}")


def _results(trainer: Trainer) -> Any:
    return trainer._results or {}


def _names(trainer: Trainer, metric: Any, *, on_step: bool) -> tuple[str, str]:
    plain, forked = _results(trainer)._forked_name(metric, on_step)
    return (forked if on_step else plain), forked


def _why_missing(name: str, values: Any) -> str:
    if name in values:
        return "holds an older epoch's value: log it in training_step or validation_step with on_epoch=True"
    return "was not logged"


def _nearest(name: str, known: set[str]) -> list[str]:
    return sorted(known, key=lambda other: (-difflib.SequenceMatcher(None, name, other).ratio(), other))


def synced(name: str, value: float, ranks: Ranks) -> float:
    """All ranks: ``value`` if it is the same everywhere up to rounding.

    Raises `NotApplicable` with the remedy when the ranks hold different numbers.
    """
    values = ranks.gather(value)
    if all(_same(other, values[0]) for other in values):
        return values[0]
    shown = ", ".join(f"{other:.4g}" for other in values)
    raise NotApplicable(f"{name!r} is unsynced, the processes hold {shown}: log it with sync_dist=True")


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6) or (math.isnan(one) and math.isnan(other))
