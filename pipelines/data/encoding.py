"""From a table to numbers. Everything is learned from the training rows only.

Shapes: N rows, F features.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.data.schema import MISSING

__all__ = ["Encoder"]

Columns = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class _Number:
    """Standardised by the training rows; a gap becomes their mean, which one more column tells where they have gaps."""

    name: str
    mean: float
    scale: float
    gaps: bool

    @classmethod
    def fit(cls, column: pd.Series) -> _Number:
        known = column.dropna().to_numpy(dtype=np.float64)
        if not len(known) or not np.isfinite(known).all():
            raise ValueError(
                f"column {column.name!r}: the training rows hold no number, or an infinite one; leave it out of inputs"
            )
        gaps = len(known) < len(column)
        return cls(name=str(column.name), mean=float(known.mean()), scale=float(known.std()) or 1.0, gaps=gaps)

    def encode(self, column: pd.Series) -> Columns:
        gaps = column.isna().to_numpy()
        values = (column.fillna(self.mean).to_numpy(dtype=np.float64) - self.mean) / self.scale
        found = {self.name: values.astype(np.float32)}
        if self.gaps:
            found[f"{self.name}={MISSING}"] = gaps.astype(np.float32)
        elif gaps.any():
            warnings.warn(f"column {self.name!r} has {gaps.sum()} gaps and had none in training", stacklevel=2)
        return found


@dataclass(frozen=True, kw_only=True)
class _Category:
    """One feature per value seen in training, a gap being one; a value never seen is zero in all of them."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def fit(cls, column: pd.Series) -> _Category:
        return cls(name=str(column.name), values=tuple(sorted(column.fillna(MISSING).unique())))

    def encode(self, column: pd.Series) -> Columns:
        words = column.fillna(MISSING)
        return {f"{self.name}={value}": (words == value).to_numpy().astype(np.float32) for value in self.values}


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """``Encoder.fit(training)``, then ``encode(rows)``: float32 (N, F), the features in the order of ``names``."""

    parts: tuple[_Number | _Category, ...]
    names: tuple[str, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, *, numbers: Sequence[str], categories: Sequence[str]) -> Encoder:
        """Raises ``ValueError`` for a frame without rows or a column that holds no finite number."""
        if frame.empty:
            raise ValueError("there are no training rows to learn an encoding from")
        parts: list[_Number | _Category] = [_Number.fit(frame[name]) for name in numbers]
        parts += [_Category.fit(frame[name]) for name in categories]
        return cls(parts=tuple(parts), names=tuple(name for part in parts for name in part.encode(frame[part.name])))

    def encode(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        columns = [values for part in self.parts for values in part.encode(frame[part.name]).values()]
        return np.stack(columns, axis=1)
