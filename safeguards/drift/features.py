"""Numbers per row out of tensors, where there is no table: what the inputs are like, and what the model said.

N rows, D features, F columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from safeguards.core.errors import NotApplicable

__all__ = ["IMAGE_STATISTICS", "PREDICTED_CLASS", "PREDICTIONS", "features", "predictions"]

PREDICTED_CLASS = "predicted class"
PREDICTIONS = (PREDICTED_CLASS, "predicted score")
IMAGE_STATISTICS = ("mean", "standard deviation", "minimum", "maximum", "contrast", "sharpness")
MOST_FEATURES = 2000  # times the sampled rows this is what is kept and sent between processes: 40 MB for 5000 rows
SCORE_DIGITS = 5  # float32 outputs move in the seventh digit with the size of the batch


def features(inputs: Any, columns: Sequence[str] | None) -> tuple[list[str], Tensor]:
    """Names and values (N, F) of what the inputs are like: the D features of (N, D), statistics of anything larger.

    Raises `NotApplicable` for inputs that are no tensor, for names that do not match, and for too many features.
    """
    if not isinstance(inputs, Tensor):
        raise NotApplicable(f"inputs are a {type(inputs).__name__}: drift needs a tensor, or datamodule.frame(split)")
    if inputs.ndim > 2:
        return [f"input {name}" for name in IMAGE_STATISTICS], _statistics(inputs.detach().float())
    values = inputs.detach().float()
    values = values if values.ndim == 2 else values.reshape(-1, 1)
    width = values.shape[1]
    if columns is not None and len(columns) != width:
        raise NotApplicable(f"columns= names {len(columns)} features, inputs have {width}")
    if width > MOST_FEATURES:
        raise NotApplicable(f"{width} features are more than {MOST_FEATURES}: give datamodule.frame(split)")
    return list(columns or (f"feature {number}" for number in range(width))), values.cpu()


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


def predictions(logits: Tensor) -> Tensor:
    """Predicted class and its probability, (N, 2), from logits (N, C) or (N,)."""
    if logits.ndim == 1:
        score = torch.sigmoid(logits)
        chosen = (logits > 0).float()
        score = torch.where(chosen.bool(), score, 1 - score)
    else:
        score, chosen = torch.softmax(logits, dim=1).max(dim=1)
    return torch.stack([chosen.float(), score.round(decimals=SCORE_DIGITS)], dim=1).cpu()
