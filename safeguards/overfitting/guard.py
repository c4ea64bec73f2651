"""Watches the generalisation gap while a model trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from torch import Tensor

from safeguards.core.arguments import check_shares, check_whole
from safeguards.core.batch import BatchFields
from safeguards.core.errors import ConfigurationError
from safeguards.core.rows import Rows
from safeguards.core.safeguard import Reaction, Safeguard, SafeguardOptions
from safeguards.core.verdict import Measurement, Outcome, Verdict
from safeguards.overfitting.logged import LoggedGap
from safeguards.overfitting.measured import MeasuredGap
from safeguards.overfitting.measures import FEWEST_ROWS
from safeguards.overfitting.trend import Patience, Trend, plain_memory, remember
from safeguards.overfitting.weights import BestWeights

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.scene import Scene

__all__ = ["OverfittingGuard"]

TREND_WINDOW = 20


class OverfittingGuard(Safeguard):
    """Judges `generalization_gap`: validation loss minus training loss; 0 generalises as well as it fits.

    With ``fields`` the gap is measured: per-row losses of the same weights, in eval mode, on at most ``samples`` rows
    of each side, with Welch's interval; look k spends ``alpha`` * 6 / (pi^2 k^2). ``loss`` is a function of outputs
    ``(N, C)`` or ``(N,)`` and target that gives ``(N,)``; None is cross-entropy in nats. Fewer than ``fewest_rows`` on
    a side are INCONCLUSIVE.

    Without ``fields`` the gap is that of two metrics that the module logs, named ``train`` and ``validation``, judged
    at the end of the training epoch, when both belong to it; it has no interval.

    A FAIL is reacted to once ``patience`` looks in a row have failed. ``restore_best`` gives the weights of the lowest
    validation loss back when training ends; with several validation loaders the first decides.

    Raises `ConfigurationError` for arguments that do not fit together.
    """

    topic = "overfitting"
    measures = ("generalization_gap",)
    judged_by = ("fewest_rows", "alpha", "patience")
    reads_inputs = False
    in_blocks = True

    def __init__(
        self,
        *,
        train: str | None = None,
        validation: str | None = None,
        fields: BatchFields | None = None,
        samples: int = 1024,
        fewest_rows: int = FEWEST_ROWS,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        alpha: float = 0.05,
        patience: int = 1,
        restore_best: bool = False,
        seed: int = 0,
        **options: Unpack[SafeguardOptions],
    ) -> None:
        super().__init__(fields=fields, **options)
        check_whole(self, 1, samples=samples, fewest_rows=fewest_rows, patience=patience)
        check_shares(self, alpha=alpha)
        self.train, self.validation, self.restore_best = train, validation, restore_best
        self.samples, self.fewest_rows, self.alpha, self.patience, self.seed = (
            samples,
            fewest_rows,
            alpha,
            patience,
            seed,
        )
        self._source: MeasuredGap | LoggedGap
        if fields is None:
            self._source = LoggedGap(**_both(train, validation), still=restore_best)
        else:
            self._source = MeasuredGap(
                fields=fields, samples=samples, fewest_rows=fewest_rows, alpha=alpha, seed=seed, loss=loss
            )
        self.judges_at = self._source.judges_at
        self._patience = Patience(looks=patience)
        self._trend = Trend(window=TREND_WINDOW)
        self._weights = BestWeights()
        self._in_fit = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._source.forget()

    def prepare(self, scene: Scene) -> Any:
        self._in_fit = scene.trainer.state.fn == "fit"
        return self._source.begin()

    def observe(self, seen: Any, rows: Rows, scene: Scene) -> None:
        self._source.observe(seen, rows)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._source.note(trainer)
        super().on_validation_end(trainer, pl_module)

    def examine(self, seen: Any, scene: Scene) -> Mapping[str, Measurement]:
        found = self._source.examine(seen, scene)
        if found is None:
            return {}
        details = {**found.details, "source": self._source.name}
        if self._in_fit:
            details |= self._story(found, scene)
        return {"generalization_gap": replace(found, details=details)}

    def reaction_to(self, verdicts: Sequence[Verdict]) -> Reaction:
        """What follows a FAIL, once patience has run out. Only looks while training use it up."""
        if not self._in_fit or not verdicts:
            return super().reaction_to(verdicts)
        self._patience.count(any(verdict.outcome is Outcome.FAIL for verdict in verdicts))
        return self.reaction if self._patience.exhausted else "record"

    def finish(self, trainer: Trainer, module: LightningModule) -> None:
        if self.restore_best and self._run is not None:
            self._weights.restore(trainer=trainer, module=module, ranks=self._run.ranks, directory=self._run.directory)

    def memory(self) -> dict[str, Any]:
        return plain_memory(self._trend, self._patience) | {"best": self._weights.memory()}

    def remember(self, memory: Mapping[str, Any]) -> None:
        remember(self._trend, self._patience, memory)
        self._weights.remember(memory["best"])

    def _story(self, found: Measurement, scene: Scene) -> dict[str, Any]:
        """All ranks: trend, patience and best weights, this look included."""
        loader = scene.moment.loader or ""
        if math.isfinite(found.value):
            self._trend.add(loader, found.value)
            if self.restore_best and self._trend.is_first(loader):
                self._weights.offer(found.details["validation_loss"], scene, self.label)
        story = self._trend.details(loader) | {"patience": self._patience.words}
        return story | ({"best_weights": self._weights.memory()} if self.restore_best else {})


def _both(train: str | None, validation: str | None) -> dict[str, str]:
    if train is None or validation is None:
        raise ConfigurationError(
            f"OverfittingGuard(train={train!r}, validation={validation!r}): give the names of both logged metrics, or "
            "fields= to measure the gap"
        )
    return {"train": train, "validation": validation}
