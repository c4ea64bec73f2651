"""Is a retraining called for? A ladder over what is known, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safeguards.core.errors import DataRefused
from safeguards.core.limit import Limit, decide
from safeguards.core.verdict import Measurement, Outcome

if TYPE_CHECKING:
    from safeguards.drift import Comparison

__all__ = ["BREAKS", "Decision", "broken", "decision", "refuse_broken"]

BREAKS = ("column_missing", "column_added", "type_changed", "all_gaps", "infinities")
"""Findings that speak of a feed that broke, not of a world that changed."""
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether to retrain, and the sentence that says why."""

    retrain: bool
    reason: str
    drift: Outcome | None = None


def decision(
    *,
    champion: bool,
    same_data: bool,
    forced: bool,
    on_schedule: bool,
    drift: Measurement | None,
    limit: Limit,
    opened: str | None = None,
    drift_counts: bool = True,
) -> Decision:
    """Gravest first: forced, no champion yet, nothing new, a live audit, drift beyond the ``limit``, the schedule.

    ``same_data`` says that the champion learned from this very delivery; ``on_schedule`` that new data alone are reason
    enough; ``drift`` is None where there is no champion to compare with, and ``drift_counts`` says whether it alone is
    reason enough. An INCONCLUSIVE drift is no drift, and said. ``opened`` is why a live audit of the champion opened a
    retraining.
    """
    if forced:
        return Decision(retrain=True, reason="forced")
    if not champion:
        return Decision(retrain=True, reason="there is no champion yet")
    if same_data:
        return Decision(retrain=False, reason="the champion learned from these very data")
    found = None if drift is None else decide(drift, limit)
    told = "drift was not measured" if found is None else f"drift {found.outcome}: {found.reason}"
    outcome = None if found is None else found.outcome
    if opened is not None:
        return Decision(retrain=True, reason=f"a live audit opened it: {opened}; {told}", drift=outcome)
    if outcome is Outcome.FAIL and drift_counts:
        return Decision(retrain=True, reason=told, drift=outcome)
    if on_schedule:
        return Decision(retrain=True, reason=f"on schedule, with new data; {told}", drift=outcome)
    return Decision(retrain=False, reason=told, drift=outcome)


def broken(found: Mapping[str, Comparison]) -> list[str]:
    """One line for each column whose schema broke."""
    return [
        f"column {name!r}: {finding.name.replace('_', ' ')}, {finding.text}"
        for name, comparison in found.items()
        for finding in comparison.findings
        if finding.name in BREAKS
    ]


def refuse_broken(found: Mapping[str, Comparison]) -> None:
    """Raises `DataRefused` with the columns whose schema is no longer that of the champion's training data."""
    lines = broken(found)
    if lines:
        more = f"; and {len(lines) - NAMED} more columns" if len(lines) > NAMED else ""
        raise DataRefused(
            f"the data are not of the schema that the champion learned from: {'; '.join(lines[:NAMED])}{more}"
        )
