"""How many rows an attack leaves standing, and how sure that is. Legend: N rows, K multiples of eps, increasing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from safeguards.core.intervals import clopper_pearson

__all__ = ["Share", "carried"]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Share:
    """``hits`` of ``n`` rows, a share in [0, 1]; 0 rows have no share (NaN) and may have any: [0, 1].

    As robust accuracy, 0 means that the attack breaks every row and 1 that it breaks none.
    """

    hits: int
    n: int

    @classmethod
    def of(cls, flags: Flags) -> Share:
        """The share of true flags (N,)."""
        return cls(hits=int(flags.sum()), n=len(flags))

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else math.nan

    def interval(self, alpha: float) -> tuple[float, float]:
        """Exact two-sided bounds, ``alpha / 2`` on each side (Clopper and Pearson)."""
        low, high = clopper_pearson(self.hits, self.n, alpha)
        return float(low), float(high)

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.hits} of {self.n})"


def carried(right_kn: Flags) -> Flags:
    """Rows right at each eps and at every smaller one (K, N): what broke a row within less is within reach of more."""
    survived: Flags = np.logical_and.accumulate(right_kn, axis=0)
    return survived
