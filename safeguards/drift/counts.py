"""How many rows there are on each side: always told, and a finding against the columns where a rule says so.

A set that has lost its rows has lost them in every column. How many are in order nobody can know but the user: a
validation set is smaller than a training set on purpose. So without a rule row counts decide nothing, beyond what they
do to every comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from safeguards.core.errors import ConfigurationError
from safeguards.drift.findings import Comparison, Finding
from safeguards.drift.looks import Family
from safeguards.drift.measures import Standing
from safeguards.drift.profile import Profile

__all__ = ["UNKNOWN_RATIO", "broken_by", "check_ratio", "row_count", "rows_needed"]

Ratio = tuple[float, float]

UNKNOWN_RATIO = "row_ratio is not applied: max_share_of_fit left out rows, so how many there are is not known"


def check_ratio(ratio: Any) -> Ratio | None:
    """``row_ratio`` as a pair, or None. Raises `ConfigurationError` for anything else."""
    if ratio is None:
        return None
    if (
        not isinstance(ratio, (tuple, list))
        or [type(end) in (int, float) for end in ratio] != [True, True]
        or not 0 <= ratio[0] <= ratio[1]
    ):
        raise ConfigurationError(
            f"DriftReport(row_ratio={ratio!r}): expected the least and the most current rows per reference row, "
            "as in (0.5, 2.0), or None"
        )
    return float(ratio[0]), float(ratio[1])


def rows_needed(reference: int, tests: int, *, alpha: float, min_effect: float) -> int | None:
    """Fewest current rows with which a distance of ``min_effect`` can be excluded in ``tests`` comparisons at once.

    It is the m at which `Effect.ceiling` of a distance of 0 falls below ``min_effect``; None where the ``reference``
    rows are too few for any m.
    """
    room = 2 * min_effect**2 / math.log(max(1, tests) / alpha) - 1 / max(1, reference)
    return math.floor(1 / room) + 1 if room > 0 else None


def row_count(
    reference: Profile,
    current: Profile,
    found: Mapping[str, Comparison],
    *,
    families: Iterable[Family],
    min_effect: float,
    ratio: Ratio | None,
    thinned: bool = False,
) -> Finding:
    """The rows of both sides; it counts where there are fewer or more current rows per reference row than ``ratio``.

    ``thinned`` says that the current rows are those that a cap left of more: then their number is no rule's matter.
    """
    if thinned:
        text = f"{current.rows} current rows that max_share_of_fit left, {reference.rows} of the reference"
        return Finding(name="row_count", text=text + _too_few(reference, current, found, families, min_effect))
    per_row = current.rows / reference.rows if reference.rows else math.inf
    text = f"{current.rows} current rows, {per_row:.3g} for each of {reference.rows} of the reference"
    if ratio is not None and not ratio[0] <= per_row <= ratio[1]:
        text += f": outside row_ratio, {ratio[0]:g} to {ratio[1]:g}"
        return Finding(name="row_count", text=text, counts=True)
    return Finding(name="row_count", text=text + _too_few(reference, current, found, families, min_effect))


def _too_few(
    reference: Profile,
    current: Profile,
    found: Mapping[str, Comparison],
    families: Iterable[Family],
    min_effect: float,
) -> str:
    """What is missing until every column can be called stable."""
    n, m = len(reference.sample), len(current.sample)
    tests = [(sum(len(found[name].effects) for name in family.columns), family.alpha) for family in families]
    needed = [rows_needed(n, count, alpha=alpha, min_effect=min_effect) for count, alpha in tests if count]
    if None in needed:
        return f"; {n} reference rows are too few to exclude a distance of {min_effect:g}"
    most = max((rows for rows in needed if rows is not None), default=0)
    return f"; at least {most} are needed to exclude a distance of {min_effect:g}, {m} are compared" if m < most else ""


def broken_by(count: Finding, found: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """The comparisons, all of them drifted where the row count counts."""
    if not count.counts:
        return dict(found)
    return {
        name: replace(one, standing=Standing.DRIFTED, findings=[count, *one.findings]) for name, one in found.items()
    }
