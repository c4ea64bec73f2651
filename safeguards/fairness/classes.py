"""What a classifier predicts and what is true, as numbers of classes.

Legend: N rows, C classes, numbered 0 .. C - 1 as the model's outputs are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safeguards.core.errors import NotApplicable
from safeguards.fairness.table import Counts

__all__ = ["classes_of", "predicted"]


def predicted(logits: Tensor) -> tuple[int, Counts]:
    """C and the class of each row: the largest of ``(N, C)`` logits; of ``(N,)`` single logits, 1 above 0, else 0."""
    if logits.ndim == 1:
        return 2, (logits > 0).cpu().numpy().astype(np.int64)
    return logits.shape[1], logits.argmax(dim=1).cpu().numpy().astype(np.int64)


def classes_of(target: Tensor | None, classes: int, positive: int) -> Counts:
    """The true class of each row as int64 ``(N,)``.

    Raises `NotApplicable` unless all are classes that the model tells apart, one per row, and ``positive`` is one too.
    """
    if target is None or target.ndim != 1:
        shape = None if target is None else tuple(target.shape)
        raise NotApplicable(
            f"cannot apply: the target has shape {shape}, expected one class per row; give target= a function of the "
            "batch that makes it so"
        )
    if positive >= classes:
        raise NotApplicable(
            f"cannot apply: positive={positive}, but the model tells classes 0 to {classes - 1} apart; name one of them"
        )
    missing = int(torch.isnan(target).sum()) if target.is_floating_point() else 0
    if missing:
        raise NotApplicable(f"cannot apply: {missing} of {len(target)} rows have no label (NaN); leave them out")
    true = target.detach().cpu().numpy().astype(np.int64)
    wrong = (true != target.detach().cpu().numpy()) | (true < 0) | (true >= classes)
    if wrong.any():
        raise NotApplicable(
            f"cannot apply: label {target[int(wrong.argmax())].item()} is none of the model's classes 0 to "
            f"{classes - 1}; give target= a function of the batch that maps labels to them"
        )
    return true
