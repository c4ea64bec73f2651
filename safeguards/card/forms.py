"""How a value of the evidence is put on a card, and the few computations that a card makes itself. The linter asks that
what stands on the page is exactly this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from safeguards.card import words
from safeguards.core.intervals import clopper_pearson
from safeguards.core.report import SEVERITY
from safeguards.core.verdict import Outcome

__all__ = ["COMPUTED", "FORMS", "MARKS", "NoEvidence"]

MARKS = {
    Outcome.PASS: "\u2713",
    Outcome.WARN: "!",
    Outcome.FAIL: "\u2715",
    Outcome.INCONCLUSIVE: "?",
    Outcome.ERROR: "\u26a0\ufe0e",
    Outcome.NOT_EVALUATED: "\u2013",
}
"""A sign for each outcome, so that nobody needs the colour."""


class NoEvidence(LookupError):  # noqa: N818 - a finding: "raise NoEvidence"
    """A source leads nowhere, or to what is no number."""


def _bounds(rate: float, rows: int, confidence: float, rates: int) -> tuple[float, float]:
    """Exact, each at its share of the doubt, as `safeguards.fairness` splits it: all of them hold together."""
    alpha = (1 - float(confidence)) / max(1, int(rates))
    low, high = clopper_pearson([round(rate * rows)], [rows], alpha)
    return float(low[0]), float(high[0])


def _difference(one: float, other: float) -> float:
    found = float(one) - float(other)
    if not math.isfinite(found):
        raise ValueError("it is not finite")
    return found


def _gravest(*outcomes: str) -> str:
    """NOT_EVALUATED where nothing spoke."""
    return str(next((one for one in SEVERITY if one in outcomes), Outcome.NOT_EVALUATED))


LONGEST_LABEL = 28
UNBOUNDED = ("nan", "inf", "-inf")
"""How a verdict writes the numbers that JSON lacks."""

COMPUTED: Mapping[str, Callable[..., Any]] = {
    "difference": _difference,
    "gravest": _gravest,
    "low": lambda rate, rows, confidence, rates: _bounds(rate, rows, confidence, rates)[0],
    "high": lambda rate, rows, confidence, rates: _bounds(rate, rows, confidence, rates)[1],
    "less": lambda rows, positives: int(rows) - int(positives),
    "low of the rest": lambda rate, rows, pos, conf, rates: _bounds(rate, int(rows) - int(pos), conf, rates)[0],
    "high of the rest": lambda rate, rows, pos, conf, rates: _bounds(rate, int(rows) - int(pos), conf, rates)[1],
}

FORMS: Mapping[str, Callable[[Any], str]] = {
    "number": lambda value: words.number(_is_number(value)),
    "signed": lambda value: words.signed(_is_number(value)),
    "confidence": lambda value: f"{_is_number(value):.4%}",
    "count": lambda value: f"{int(_is_number(value)):,}",
    "duration": lambda value: words.duration(_is_number(value)),
    "outcome": lambda value: f"{MARKS[Outcome(value)]} {str(value).replace('_', ' ')}",
    "ruled": lambda value: f"The gate {'admitted' if value is True else 'refused'} it",
    "digest": lambda value: str(value)[:12],
    "moment": lambda value: str(value)[:16].replace("T", " "),
    "text": lambda value: words.shown(value, 2000),
    "name": lambda value: words.shown(value, 60),
    "label": lambda value: _brief(words.shown(value, 60)),
}


def _brief(text: str) -> str:
    """What fits beside a bar; the table has the rest."""
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}\u2026"


def _is_number(value: Any) -> Any:
    if value in UNBOUNDED:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NoEvidence(f"{words.shown(value, 40)!r} is no number")
    return value
