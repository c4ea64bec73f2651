"""The only place where a number meets a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from safeguards.core.errors import ConfigurationError
from safeguards.core.verdict import Cost, Measurement, Moment, Outcome, Verdict

__all__ = ["DecideOn", "Decision", "Limit", "decide", "judged"]

MOST_TIMES_NARROWER = 1e4
DecideOn = Literal["interval", "point"]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A bound on a measure, in the measure's own unit: exactly one of ``at_most`` and ``at_least``.

    A value that is within the limit by less than ``warn_within`` (>= 0; 0 means no warning band) is a WARN.
    Raises `ConfigurationError` when no bound or both are given, or when a number is not finite.
    """

    at_most: float | None = None
    at_least: float | None = None
    warn_within: float = 0.0

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ConfigurationError(f"{self!r} needs exactly one of at_most= and at_least=, as in Limit(at_most=0.1)")
        for name in ("at_most", "at_least", "warn_within"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and math.isfinite(value)):
                raise ConfigurationError(f"Limit({name}={value!r}): expected a finite number")
        if self.warn_within < 0:
            raise ConfigurationError(f"Limit(warn_within={self.warn_within!r}): expected 0 or more")

    @property
    def bound(self) -> float:
        """The number itself."""
        return float(self.at_most if self.at_most is not None else self.at_least)  # type: ignore[arg-type]

    def margin(self, value: float) -> float:
        """Signed distance of ``value`` from the bound: >= 0 is within the limit."""
        return self.bound - value if self.at_most is not None else value - self.bound

    def __str__(self) -> str:
        word = "at most" if self.at_most is not None else "at least"
        return f"{word} {self.bound:.4g}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An outcome, the sentence that explains it, and `Verdict.rows_to_decide`."""

    outcome: Outcome
    margin: float | None
    reason: str
    rows_to_decide: int | None = None


def decide(found: Measurement, limit: Limit, *, on: DecideOn = "interval") -> Decision:
    """Hold a measurement against a limit.

    With an interval: wholly inside is PASS (WARN when the value is in the band), wholly outside is FAIL, across is
    INCONCLUSIVE. Without one, or with ``on="point"``, the value alone decides and the reason says so. A number that
    the model failed to produce is a FAIL; one that the safeguard failed to produce is an ERROR; NaN never passes. Of a
    value that is known to be too near to 0 only a FAIL stands.
    """
    outcome, words = _standing(found, limit, *_ladder(found, limit, on))
    margin = limit.margin(found.value) if math.isfinite(found.value) else None
    reason = ". ".join(part for part in (words, found.note) if part)
    crosses = outcome is Outcome.INCONCLUSIVE and not (found.insufficient or found.shrunk)
    rows = _rows_to_decide(found, limit) if crosses else None
    return Decision(outcome=outcome, margin=margin, reason=reason, rows_to_decide=rows)


def judged(
    found: Measurement,
    limit: Limit,
    *,
    safeguard: str,
    measure: str,
    moment: Moment,
    on: DecideOn = "interval",
    cost: Cost | None = None,
) -> Verdict:
    """`decide`, as the verdict of a safeguard. Its value is None where the evidence gave no number, NaN where the model
    or the safeguard did.
    """
    decision = decide(found, limit, on=on)
    return Verdict(
        safeguard=safeguard,
        measure=measure,
        outcome=decision.outcome,
        reason=decision.reason,
        moment=moment,
        value=None if found.insufficient and math.isnan(found.value) else found.value,
        limit=limit,
        margin=decision.margin,
        unit=found.unit,
        interval=found.interval,
        n=found.n,
        rows_to_decide=decision.rows_to_decide,
        details=found.details,
        cost=cost,
    )


def _ladder(found: Measurement, limit: Limit, on: DecideOn) -> tuple[Outcome, str]:
    if found.model_fault:
        return Outcome.FAIL, f"the model is at fault: {found.model_fault}"
    if found.insufficient:
        return Outcome.INCONCLUSIVE, found.insufficient
    if not math.isfinite(found.value):
        return Outcome.ERROR, f"the safeguard computed {found.value}, which is not a number to judge"
    if found.interval is not None and any(math.isnan(end) for end in found.interval):
        return Outcome.ERROR, f"the safeguard computed the interval {found.interval}, which is not one"
    said = f"{found.value:.4g}{_unit(found)} against a limit of {limit}, n={found.n}"
    if found.interval is None or on == "point":
        why = "decided on the value alone, as asked" if found.interval else "decided on the value: it has no interval"
        return _side(limit, limit.margin(found.value), found.value), f"{said}; {why}"
    low, high = found.interval
    said = f"{found.value:.4g}{_unit(found)} [{low:.4g}, {high:.4g}] against a limit of {limit}, n={found.n}"
    worst, best = sorted((limit.margin(low), limit.margin(high)))
    if worst >= 0:
        return _side(limit, worst, found.value), f"{said}; the whole interval is within"
    if best < 0:
        return Outcome.FAIL, f"{said}; the whole interval is outside"
    return Outcome.INCONCLUSIVE, f"{said}; the interval crosses the limit{_how_many(found, limit)}"


def _standing(found: Measurement, limit: Limit, outcome: Outcome, words: str) -> tuple[Outcome, str]:
    """What is left of an outcome where the value is too near to 0."""
    if not found.shrunk or found.model_fault or found.insufficient or outcome is Outcome.ERROR:
        return outcome, words
    if outcome is Outcome.FAIL and limit.margin(0) >= 0:
        return outcome, f"{words}; {found.shrunk}"
    return Outcome.INCONCLUSIVE, found.shrunk


def _side(limit: Limit, deciding_margin: float, value: float) -> Outcome:
    if deciding_margin < 0:
        return Outcome.FAIL
    return Outcome.WARN if limit.margin(value) < limit.warn_within else Outcome.PASS


def _rows_to_decide(found: Measurement, limit: Limit) -> int | None:
    """An interval narrows with the root of n; None where it does not, or with a value (all but) on the limit itself."""
    distance = abs(limit.margin(found.value))
    if not found.narrows or found.interval is None or found.n == 0 or distance == 0:
        return None
    end = found.interval[1] if found.value < limit.bound else found.interval[0]
    narrower = abs(end - found.value) / distance
    if not narrower < MOST_TIMES_NARROWER:
        return None
    return _rounded(max(found.n + 1, math.ceil(found.n * narrower**2)))


def _how_many(found: Measurement, limit: Limit) -> str:
    if not found.narrows:
        return ""
    rows = _rows_to_decide(found, limit)
    return f"; about {rows:,} rows would decide it" if rows else "; no number of rows would decide it"


def _rounded(rows: int) -> int:
    """Up to two digits: it is an estimate."""
    size = int(10 ** max(0, len(str(rows)) - 2))
    return math.ceil(rows / size) * size


def _unit(found: Measurement) -> str:
    return f" {found.unit}" if found.unit else ""


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
