"""The numbers of a moment as the trainer's callbacks and loggers see them: ``safeguard/<name>/<measure>``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from safeguards.core.names import encode
from safeguards.core.ranks import describe
from safeguards.core.verdict import Verdict

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from safeguards.core.watch import Watch

__all__ = ["log"]


def log(trainer: Trainer, watch: Watch, reached: Sequence[Verdict]) -> None:
    """Put the values of these verdicts where they can be monitored, NaN for what was left out, and into the loggers."""
    metrics = {_metric(v): float("nan") if v.value is None else v.value for v in reached}
    device = trainer.strategy.root_device
    trainer.callback_metrics.update(
        {k: torch.tensor(v, dtype=torch.float32, device=device) for k, v in (metrics | _unseen(watch)).items()}
    )
    step = trainer.fit_loop.epoch_loop._batches_that_stepped
    for logger in trainer.loggers:
        try:
            logger.log_metrics(metrics, step=step)
        except Exception as error:
            warnings.warn(
                f"{type(logger).__name__} lost the verdicts' metrics: {describe(error)}; verdicts.jsonl has them",
                stacklevel=2,
            )


def _metric(verdict: Verdict) -> str:
    return _metric_name(verdict.safeguard, verdict.measure, verdict.moment.stage, verdict.moment.loader)


def _metric_name(safeguard: str, measure: str, stage: str, loader: str | None) -> str:
    """Metrics of a test, and of one loader of several, end in that."""
    parts = ["safeguard", safeguard, measure]
    parts += ["test"] if stage == "test" else []
    parts += [encode(loader)] if loader else []
    return "/".join(parts)


def _unseen(watch: Watch) -> dict[str, float]:
    """NaN for what a cap left out of this moment: the last value is of other weights, and would be taken for these."""
    return {
        _metric_name(safeguard.label, measure, watch.stage, desk.name): float("nan")
        for safeguard in watch.left_out
        for measure in safeguard.limits
        for desk in watch.desks
    }
