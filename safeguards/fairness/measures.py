"""Group fairness of a classifier, from one table of counts per grouping.

Legend: G groups, C classes taken as the positive one in turn; a table is ``(G, 3, C)``: rows of class c, rows predicted
c, rows that are both. Definitions are fairlearn's (``fairlearn.metrics``): a difference is between the largest and the
smallest group, a ratio is the smallest over the largest, equalized odds is the worse of its two differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from safeguards.core.intervals import Floats

__all__ = [
    "MEASURES",
    "RATES",
    "Definition",
    "Rate",
    "accuracy",
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "false_positive_rate",
    "selection_rate",
    "true_positive_rate",
    "worst_group_accuracy",
]

Counts = npt.NDArray[np.int64]


class Rate(NamedTuple):
    """Hits out of rows, both ``(G, C)``, or ``(G, 1)`` for a rate that has no positive class."""

    hits: Counts
    rows: Counts

    @property
    def value(self) -> Floats:
        """Hits over rows; NaN where there are no rows, for that rate is not defined."""
        return _divided(self.hits, self.rows)


def _divided(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    empty: Floats = np.full(part.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=empty, where=whole > 0))


def selection_rate(counts_g3c: Counts) -> Rate:
    """Rows of a group that are predicted positive, out of its rows."""
    rows_g1 = counts_g3c[:, 0].sum(axis=1, keepdims=True)
    return Rate(counts_g3c[:, 1], np.broadcast_to(rows_g1, counts_g3c[:, 1].shape))


def true_positive_rate(counts_g3c: Counts) -> Rate:
    """Positive rows of a group that are predicted positive, out of its positive rows."""
    return Rate(counts_g3c[:, 2], counts_g3c[:, 0])


def false_positive_rate(counts_g3c: Counts) -> Rate:
    """Negative rows of a group that are predicted positive, out of its negative rows."""
    rows_g1 = counts_g3c[:, 0].sum(axis=1, keepdims=True)
    return Rate(counts_g3c[:, 1] - counts_g3c[:, 2], rows_g1 - counts_g3c[:, 0])


def accuracy(counts_g3c: Counts) -> Rate:
    """Rows of a group that are predicted right, out of its rows; there is no positive class."""
    return Rate(counts_g3c[:, 2].sum(axis=1, keepdims=True), counts_g3c[:, 0].sum(axis=1, keepdims=True))


RATES: Mapping[str, Callable[[Counts], Rate]] = {
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "accuracy": accuracy,
}


def _pairs(first_gc: Floats, second_gc: Floats, combine: Callable[[Any, Any], Any]) -> Floats:
    """``combine(first of i, second of j)`` for every two groups i and j as ``(G, G, C)``; NaN for i = j."""
    every_ggc = np.asarray(combine(first_gc[:, None], second_gc[None, :]), dtype=np.float64)
    every_ggc[np.eye(len(first_gc), dtype=bool)] = np.nan
    return every_ggc


def _largest(values: Floats) -> Floats:
    """Over groups, or over pairs of groups; NaN is left out."""
    return np.asarray(np.fmax.reduce(values.reshape(-1, values.shape[-1])))


def _smallest(values: Floats) -> Floats:
    return np.asarray(np.fmin.reduce(values.reshape(-1, values.shape[-1])))


class Difference:
    """Largest rate minus smallest rate; the worst is the largest."""

    worst = staticmethod(np.fmax.reduce)
    arg_worst = staticmethod(np.nanargmax)

    @staticmethod
    def value(rate_gc: Floats) -> Floats:
        """One value per class."""
        return _largest(rate_gc) - _smallest(rate_gc)

    @staticmethod
    def bounds(low_gc: Floats, high_gc: Floats) -> tuple[Floats, Floats]:
        """What bounds on every rate leave for the largest difference between two groups."""
        low_c = _largest(_pairs(low_gc, high_gc, np.subtract))
        return np.maximum(low_c, 0.0), _largest(_pairs(high_gc, low_gc, np.subtract))


class Ratio:
    """Smallest rate over largest rate, not defined where no group has any; the worst is the smallest."""

    worst = staticmethod(np.fmin.reduce)
    arg_worst = staticmethod(np.nanargmin)

    @staticmethod
    def value(rate_gc: Floats) -> Floats:
        """One value per class; NaN for a class that no group is predicted to have."""
        low_c, high_c = _smallest(rate_gc), _largest(rate_gc)
        return _divided(low_c, high_c)

    @staticmethod
    def bounds(low_gc: Floats, high_gc: Floats) -> tuple[Floats, Floats]:
        """What bounds on every rate leave for the smallest ratio of two groups."""
        with np.errstate(divide="ignore"):
            high_c = _smallest(_pairs(high_gc, low_gc, np.divide))
        return _smallest(_pairs(low_gc, high_gc, np.divide)), np.minimum(high_c, 1.0)


class Smallest:
    """Smallest rate of any group; the worst is the smallest."""

    worst = staticmethod(np.fmin.reduce)
    arg_worst = staticmethod(np.nanargmin)

    @staticmethod
    def value(rate_gc: Floats) -> Floats:
        """One value per class."""
        return _smallest(rate_gc)

    @staticmethod
    def bounds(low_gc: Floats, high_gc: Floats) -> tuple[Floats, Floats]:
        """What bounds on every rate leave for the smallest of them."""
        return _smallest(low_gc), _smallest(high_gc)


@dataclass(frozen=True)
class Definition:
    """A measure: which rates are compared, how, and what the ends of its scale mean."""

    rates: tuple[str, ...]
    compare: type[Difference] | type[Ratio] | type[Smallest]
    meaning: str

    def __call__(self, counts_g3c: Counts) -> float:
        """The measure of one table: its worst class, its worst rate.

        NaN with fewer than two groups, or where a group lacks the rows that a rate is out of: nothing can be compared.
        """
        rates = [RATES[rate](counts_g3c).value for rate in self.rates]
        if len(counts_g3c) < 2 or any(np.isnan(rate_gc).any() for rate_gc in rates):
            return float("nan")
        return float(self.compare.worst(np.concatenate([self.compare.value(rate_gc) for rate_gc in rates])))


demographic_parity_difference = Definition(
    ("selection_rate",), Difference, "0: every group has the same selection rate; 1: one group always, another never"
)
demographic_parity_ratio = Definition(
    ("selection_rate",), Ratio, "1: every group has the same selection rate; 0: some group is never selected"
)
equalized_odds_difference = Definition(
    ("true_positive_rate", "false_positive_rate"),
    Difference,
    "0: every group has the same true and false positive rates; 1: one of these is 1 in a group and 0 in another",
)
equal_opportunity_difference = Definition(
    ("true_positive_rate",), Difference, "0: every group has the same true positive rate; 1: 1 in one, 0 in another"
)
worst_group_accuracy = Definition(
    ("accuracy",), Smallest, "1: every row of every group is right; 0: some group has no right row"
)

MEASURES: Mapping[str, Definition] = {
    "demographic_parity_difference": demographic_parity_difference,
    "demographic_parity_ratio": demographic_parity_ratio,
    "equalized_odds_difference": equalized_odds_difference,
    "equal_opportunity_difference": equal_opportunity_difference,
    "worst_group_accuracy": worst_group_accuracy,
}
