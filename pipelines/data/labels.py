"""What the label of a row may be: one of the classes or, where nothing is learned from the row, none yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd
import torch

from pipelines.data.rows import UNLABELLED

__all__ = ["refuse_unlabelled", "targets_of"]


def refuse_unlabelled(frames: Iterable[pd.DataFrame], target: str) -> None:
    """Raises ``ValueError`` with the number of rows whose column ``target`` is a gap."""
    labels = pd.concat([frame[target] for frame in frames])
    if unlabelled := int(labels.isna().sum()):
        told = f"{unlabelled} of {len(labels)} rows have no {target!r}, and nothing is learned from those"
        raise ValueError(f"{told}; label them, or leave them out")


def targets_of(labels: pd.Series, classes: Mapping[object, int]) -> torch.Tensor:
    """The class of each of N rows, (N,) int64; `UNLABELLED` where its label is a gap.

    Raises ``ValueError`` with a label that is no class.
    """
    found = labels.map(classes)
    if not found.notna().equals(labels.notna()):
        value = next(iter(labels[found.isna() & labels.notna()]))
        raise ValueError(f"target {labels.name!r} holds {value!r}; expected one of {', '.join(map(repr, classes))}")
    return torch.from_numpy(found.fillna(UNLABELLED).to_numpy(dtype="int64"))
