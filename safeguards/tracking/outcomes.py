"""What a reviewer filters runs by: one tag per safeguard and measure, one over all, and how the run ended."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from safeguards.core.report import latest, overall
from safeguards.core.verdict import Outcome, Verdict
from safeguards.tracking.names import LONGEST_KEY, key

if TYPE_CHECKING:
    from safeguards.core.ending import Summary

__all__ = ["MARGIN", "by_measure", "tags_of"]

MARGIN = ".margin"


def tags_of(summary: Summary) -> dict[str, str]:
    """``safeguards.<safeguard>.<measure>`` is the gravest of the latest outcomes over stages and loaders. The same with
    ``.margin`` is the least margin among the verdicts of that outcome, ``none`` where they have no number.

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
    """Two tags for each safeguard and measure: its outcome and its margin. Were another measure called as a margin is,
    its outcome would win.
    """
    outcomes: dict[str, str] = {}
    margins: dict[str, str] = {}
    for name, group in _groups(verdicts).items():
        outcome, tag = overall(group), key(f"safeguards.{name}")
        outcomes[tag] = str(outcome)
        if len(tag) + len(MARGIN) <= LONGEST_KEY:
            margins[tag + MARGIN] = _margin([one for one in group if one.outcome is outcome])
    return {**margins, **outcomes}


def _margin(verdicts: Sequence[Verdict]) -> str:
    """Written even where there is none: of a run that goes on, the tag of an earlier verdict would stay."""
    margins = [one.margin for one in verdicts if one.margin is not None and math.isfinite(one.margin)]
    return f"{min(margins):.6g}" if margins else "none"


def _groups(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in latest(verdicts):
        groups.setdefault(f"{verdict.safeguard}.{verdict.measure}", []).append(verdict)
    return groups


def _counts(verdicts: tuple[Verdict, ...]) -> str:
    found = Counter(verdict.outcome for verdict in verdicts)
    return ", ".join(f"{found[outcome]} {outcome}" for outcome in Outcome if found[outcome]) or "none"
