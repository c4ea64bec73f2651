"""Numbers per row out of tensors, where there is no table: what the inputs are like, and what the model said.

N rows, D features, F columns, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safeguards.core.errors import NotApplicable

__all__ = [
    "IMAGE_STATISTICS",
    "PREDICTED_CLASS",
    "PREDICTIONS",
    "Numbers",
    "features",
    "levelled",
    "numbers",
    "outputs",
    "predictions",
    "summarised",
]

PREDICTED_CLASS = "predicted class"
PREDICTIONS = (PREDICTED_CLASS, "predicted score")
IMAGE_STATISTICS = ("mean", "standard deviation", "minimum", "maximum", "contrast", "sharpness")
STATISTICS = [f"input {name}" for name in IMAGE_STATISTICS]
MOST_OUTPUTS = 32  # of what a submodule gives: a drift shows in many of them, and each dilutes the share that drifted
LEVELS = 16  # bits below the largest number of a row; float32 outputs move by their last 4 to 7 with the batch's size
MOST_FEATURES = 2000  # times the sampled rows this is what is kept and sent between processes: 40 MB for 5000 rows
SCORE_DIGITS = 5  # float32 outputs move in the seventh digit with the size of the batch


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """``values`` float32 (N, F) under F ``names``; ``outputs`` are those of the submodule, which gives ``width``."""

    names: list[str]
    values: Tensor
    outputs: list[str]
    width: int


def numbers(
    n: int, inputs: Any, logits: Tensor | None, output: Tensor | None, *, columns: Sequence[str] | None, of: str | None
) -> Numbers:
    """All that is compared of ``n`` rows: inputs, the output of the submodule ``of``, predictions.

    None for ``inputs`` or ``output`` leaves them out; predictions that are not there are NaN.
    """
    names, values = ([], torch.empty(n, 0)) if inputs is None else features(inputs, columns)
    given, found, width = ([], torch.empty(n, 0), 0) if output is None else outputs(output, str(of))
    said = torch.full((n, len(PREDICTIONS)), torch.nan) if logits is None else predictions(logits)
    everything = torch.cat([values, found, said], dim=1)
    return Numbers(names=[*names, *given, *PREDICTIONS], values=everything, outputs=given, width=width)


def features(inputs: Any, columns: Sequence[str] | None) -> tuple[list[str], Tensor]:
    """Names and values (N, F) of what the inputs are like: the D features of (N, D), statistics of anything larger.

    Raises `NotApplicable` for inputs that are no tensor, for names that do not match, and for too many features.
    """
    if not isinstance(inputs, Tensor):
        raise NotApplicable(f"inputs are a {type(inputs).__name__}: drift needs a tensor, or datamodule.frame(split)")
    if inputs.ndim > 2:
        return list(STATISTICS), _statistics(inputs.detach().float())
    values = inputs.detach().float()
    values = values if values.ndim == 2 else values.reshape(-1, 1)
    width = values.shape[1]
    if columns is not None and len(columns) != width:
        raise NotApplicable(
            f"columns= names {len(columns)} features, inputs have {width}: name each of them, in their order"
        )
    if width > MOST_FEATURES:
        raise NotApplicable(f"{width} features are more than {MOST_FEATURES}: give datamodule.frame(split)")
    return list(columns or (f"feature {number}" for number in range(width))), values.cpu()


def summarised(names: Sequence[str]) -> bool:
    """Whether columns of these names are the statistics of larger inputs, which no table of the user's has."""
    return set(STATISTICS) <= set(names)


def _statistics(images: Tensor) -> Tensor:
    """Per image (N, ...): the `IMAGE_STATISTICS`; contrast is the 95th less the 5th percentile of its values.

    Sharpness is the mean absolute difference of neighbours along the last axis.
    """
    flat = images.flatten(1)
    ordered = flat.sort(dim=1).values
    last = flat.shape[1] - 1
    contrast = ordered[:, round(0.95 * last)] - ordered[:, round(0.05 * last)]
    sharpness = (images[..., 1:] - images[..., :-1]).abs().flatten(1).mean(dim=1)
    mean = flat.mean(dim=1)
    deviation = (flat - mean[:, None]).square().mean(dim=1).sqrt()
    moments = (mean, deviation, ordered[:, 0], ordered[:, -1])
    return torch.stack([*moments, contrast, sharpness], dim=1).cpu()


def outputs(output: Tensor, of: str) -> tuple[list[str], Tensor, int]:
    """Names, values (N, F) and the width D of what the submodule ``of`` gives: one number per channel or feature.

    (N, C, H, W) and what has more axes is averaged over all but channels, anything smaller laid flat to (N, D). Of more
    than `MOST_OUTPUTS` numbers as many are taken, evenly spread.
    """
    values = output.detach().float()
    values = values[:, None] if values.ndim == 1 else values
    values = values.flatten(2).mean(dim=2) if values.ndim > 3 else values.flatten(1)
    width = values.shape[1]
    chosen = [i * width // MOST_OUTPUTS for i in range(MOST_OUTPUTS)] if width > MOST_OUTPUTS else list(range(width))
    return [f"{of} {i}" for i in chosen], values[:, chosen].cpu(), width


def levelled(reference: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (N, D) and (M, D) in steps of 2^-16 of what is the largest number of a usual row of the reference.

    What is finer moves with the size of the batch: a unit that always says the same would drift by it alone.
    """
    largest = reference.abs().amax(dim=1) if reference.numel() else torch.empty(0)
    usual = float(largest[largest.isfinite()].median()) if bool(largest.isfinite().any()) else 0.0
    if usual == 0:
        return reference, current
    step = 2.0 ** (math.floor(math.log2(usual)) - LEVELS)
    return (reference / step).round() * step, (current / step).round() * step


def predictions(logits: Tensor) -> Tensor:
    """Predicted class and its probability, (N, 2), from logits (N, C) or (N,)."""
    if logits.ndim == 1:
        score = torch.sigmoid(logits)
        chosen = (logits > 0).float()
        score = torch.where(chosen.bool(), score, 1 - score)
    else:
        score, chosen = torch.softmax(logits, dim=1).max(dim=1)
    return torch.stack([chosen.float(), score.round(decimals=SCORE_DIGITS)], dim=1).cpu()
