"""The generalisation gap: how much worse a model does on rows it was not trained on.

Shapes: N rows, C classes.

The gap of 0 means that the model does as well on new rows as on those it was trained on; above 0 it does worse on new
rows, and a gap that grows while the training loss falls is overfitting. Below 0 validation is easier than training. The
unit is that of the loss: nats for cross-entropy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from safeguards.core.verdict import Measurement

__all__ = ["classification_losses", "gap_of_metrics", "generalization_gap", "welch_interval"]

FEWEST_ROWS = 30


def classification_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Loss of each row in nats, float64 ``(N,)``: 0 is a certain and right answer, ln C that of an even guess.

    Cross-entropy for logits ``(N, C)`` and classes 0 to C-1; binary cross-entropy for one logit ``(N,)`` and classes 0
    and 1. A row whose logits are not finite has a loss that is not finite.
    Raises ``ValueError`` when shapes or targets do not fit; another loss belongs into ``loss=``.
    """
    if target.shape != logits.shape[:1]:
        shapes = f"logits {tuple(logits.shape)} and target {tuple(target.shape)}"
        raise ValueError(f"{shapes}: expected one target per row; give loss= for anything else")
    if logits.ndim == 1:
        _refuse(target, 0, 1, "one logit per row takes the classes 0 and 1")
        return functional.binary_cross_entropy_with_logits(logits.double(), target.double(), reduction="none")
    classes = logits.shape[1]
    _refuse(target, 0, classes - 1, f"{classes} logits per row take the classes 0 to {classes - 1}")
    return functional.cross_entropy(logits.double(), target.long(), reduction="none")


def _refuse(target: Tensor, low: int, high: int, rule: str) -> None:
    wrong = target[~((target >= low) & (target <= high))]
    if wrong.numel():
        raise ValueError(f"the target holds {wrong[0].item():g}, but {rule}; give loss= for anything else")
    if not torch.equal(target.long().to(target.dtype), target):
        raise ValueError(f"the target holds fractions, but {rule}; give loss= for anything else")


def welch_interval(first: Sequence[float], second: Sequence[float], alpha: float) -> tuple[float, float]:
    """Interval for mean(second) - mean(first) of independent samples at confidence 1 - alpha.

    Welch (1947): Student's t with the Welch-Satterthwaite degrees of freedom, variances not assumed equal. It takes the
    means for about normal; losses with a long tail need some dozens of rows for that. A side with a single value says
    nothing on its spread: the interval is the whole line.
    """
    if min(len(first), len(second)) < 2:
        return -math.inf, math.inf
    centre = _mean(second) - _mean(first)
    parts = [_variance(values) / len(values) for values in (first, second)]
    spread = sum(parts)
    if spread == 0:
        return centre, centre
    freedom = spread**2 / sum(part**2 / (len(v) - 1) for part, v in zip(parts, (first, second), strict=True))
    half = _t_quantile(1 - alpha / 2, freedom) * math.sqrt(spread)
    return centre - half, centre + half


def generalization_gap(
    train: Sequence[float],
    validation: Sequence[float],
    *,
    alpha: float,
    unit: str = "nats",
    fewest_rows: int = FEWEST_ROWS,
) -> Measurement:
    """Mean loss of validation rows minus mean loss of training rows, with Welch's interval at confidence 1 - alpha.

    ``n`` counts the rows of both sides. Fewer than ``fewest_rows`` on a side carry no decision, whatever the value. A
    loss that is not finite is the model's fault.
    """
    rows = {"train_rows": len(train), "validation_rows": len(validation)}
    n = len(train) + len(validation)
    broken = n - sum(map(math.isfinite, chain(train, validation)))
    if broken:
        fault = f"{broken} of {n} rows have a loss that is not a finite number"
        return Measurement(value=math.nan, n=n, unit=unit, model_fault=fault, details=rows)
    if not (train and validation):
        return Measurement(value=math.nan, n=n, unit=unit, insufficient=_too_few(rows, fewest_rows), details=rows)
    means = {"train_loss": _mean(train), "validation_loss": _mean(validation)}
    return Measurement(
        value=means["validation_loss"] - means["train_loss"],
        n=n,
        unit=unit,
        interval=welch_interval(train, validation, alpha),
        insufficient=_too_few(rows, fewest_rows) if min(rows.values()) < fewest_rows else None,
        details=means | rows | {"confidence": 1 - alpha},
    )


def gap_of_metrics(train: float, validation: float, *, names: tuple[str, str]) -> Measurement:
    """``validation`` minus ``train``, two numbers that the user logged; no rows, hence no interval and n = 0."""
    pair = {names[0]: train, names[1]: validation}
    note = f"{names[1]} minus {names[0]} as logged, only as good as they are"
    broken = [f"{name} is {value}" for name, value in pair.items() if not math.isfinite(value)]
    if broken:
        return Measurement(value=math.nan, n=0, note=note, model_fault=" and ".join(broken))
    losses = {"train_loss": train, "validation_loss": validation}
    return Measurement(value=validation - train, n=0, note=note, details=losses)


def _too_few(rows: Mapping[str, int], fewest: int) -> str:
    seen = f"{rows['train_rows']} of training and {rows['validation_rows']} of validation"
    return f"too few rows, {seen}: at least {fewest} of each needed"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    centre = _mean(values)
    with np.errstate(over="raise"):
        return math.fsum((np.asarray(values) - centre) ** 2) / (len(values) - 1)


def _t_quantile(share: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
