"""From tables to comparisons: which groups can be judged, how sure each rate is, and what that leaves for the worst.

Legend: G groups, C classes taken as the positive one in turn. A group with fewer than ``min_support`` rows behind a
rate is not compared in that rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from safeguards.core.intervals import Floats, alpha_of_look, clopper_pearson
from safeguards.fairness.measures import MEASURES, RATES, Definition, Rate
from safeguards.fairness.table import GroupTable

__all__ = ["Compared", "Comparison", "Rules", "compare"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the user asked for; see `FairnessCheck`."""

    positive: int = 1
    min_support: int = 10
    alpha: float = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """One rate of one grouping: ``classes`` in columns, who can be judged, and bounds on their rates, NaN elsewhere."""

    table: GroupTable
    rate: str
    classes: tuple[int | None, ...]
    counted: Rate
    judged_gc: Mask
    low_gc: Floats
    high_gc: Floats

    @cached_property
    def rate_gc(self) -> Floats:
        """The rates of the groups that can be judged, NaN elsewhere."""
        return np.where(self.judged_gc, self.counted.value, np.nan)

    @cached_property
    def comparable_c(self) -> Mask:
        """Whether two groups or more can be judged."""
        return np.asarray(self.judged_gc.sum(axis=0) >= 2)

    def value(self, definition: Definition) -> Floats:
        """The measure, one value per class; NaN where it has none."""
        return np.where(self.comparable_c, definition.compare.value(self.rate_gc), np.nan)

    def bounds(self, definition: Definition) -> tuple[Floats, Floats]:
        """Bounds on the measure, per class; NaN where it has no value."""
        known_c = ~np.isnan(self.value(definition))
        low_c, high_c = definition.compare.bounds(self.low_gc, self.high_gc)
        return np.where(known_c, low_c, np.nan), np.where(known_c, high_c, np.nan)


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """Every comparison of one look, by rate. Together the ``rates`` intervals are wrong with probability ``alpha``."""

    rules: Rules
    look: int
    alpha: float
    rates: int
    parts: Mapping[str, Sequence[Comparison]]

    def of(self, definition: Definition) -> list[Comparison]:
        """The comparisons that a measure is the worst of."""
        return [part for rate in definition.rates for part in self.parts[rate]]


def compare(tables: Sequence[GroupTable], measures: Sequence[str], rules: Rules, look: int) -> Compared:
    """Every rate that ``measures`` need on every table, each at this look's alpha over the number of rates."""
    needed = sorted({rate for name in measures for rate in MEASURES[name].rates})
    counted = [(table, rate, *_judged(table, rate, rules)) for rate in needed for table in tables]
    rates = sum(int(judged_gc.sum()) for *_, judged_gc in counted)
    alpha = alpha_of_look(rules.alpha, look)
    found = [_bounded(*each, alpha / max(rates, 1), rules) for each in counted]
    parts = {rate: [part for part in found if part.rate == rate] for rate in needed}
    return Compared(rules=rules, look=look, alpha=alpha, rates=rates, parts=parts)


def _classes(table: GroupTable, rate: str, rules: Rules) -> tuple[int | None, ...]:
    if rate == "accuracy":
        return (None,)
    return (rules.positive,) if table.classes == 2 else tuple(range(table.classes))


def _judged(table: GroupTable, rate: str, rules: Rules) -> tuple[Rate, Mask]:
    hits, rows = RATES[rate](table.counts_g3c)
    if rate != "accuracy" and table.classes == 2:
        hits, rows = hits[:, [rules.positive]], rows[:, [rules.positive]]
    return Rate(hits, rows), rows >= rules.min_support


def _bounded(table: GroupTable, rate: str, counted: Rate, judged_gc: Mask, alpha: float, rules: Rules) -> Comparison:
    low_gc, high_gc = clopper_pearson(counted.hits, counted.rows, alpha)
    return Comparison(
        table=table,
        rate=rate,
        classes=_classes(table, rate, rules),
        counted=counted,
        judged_gc=judged_gc,
        low_gc=np.where(judged_gc, low_gc, np.nan),
        high_gc=np.where(judged_gc, high_gc, np.nan),
    )
