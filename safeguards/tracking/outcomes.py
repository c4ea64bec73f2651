"""What a reviewer filters runs by: one tag per safeguard and measure, one over all, and how the run ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from safeguards.core.report import latest, overall
from safeguards.core.verdict import Outcome, Verdict
from safeguards.tracking.names import key

if TYPE_CHECKING:
    from safeguards.core.ending import Summary

__all__ = ["by_measure", "tags_of"]


def tags_of(summary: Summary) -> dict[str, str]:
    """``safeguards.<safeguard>.<measure>`` is the gravest of the latest outcomes over stages and loaders.

    ``safeguards.outcome`` is the gravest of all, NOT_EVALUATED where there is none; ``safeguards.verdicts`` counts the
    outcomes of the whole run, so that a FAIL of an early epoch stays in sight.
    """
    return {
        "safeguards.run_id": summary.run_id,
        "safeguards.ended": summary.ended,
        "safeguards.outcome": str(overall(summary.verdicts)),
        "safeguards.verdicts": _counts(summary.verdicts),
        **by_measure(summary.verdicts),
    }


def by_measure(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """A tag for each safeguard and measure."""
    return {key(f"safeguards.{name}"): str(overall(group)) for name, group in _groups(verdicts).items()}


def _groups(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in latest(verdicts):
        groups.setdefault(f"{verdict.safeguard}.{verdict.measure}", []).append(verdict)
    return groups


def _counts(verdicts: tuple[Verdict, ...]) -> str:
    found = Counter(verdict.outcome for verdict in verdicts)
    return ", ".join(f"{found[outcome]} {outcome}" for outcome in Outcome if found[outcome]) or "none"
