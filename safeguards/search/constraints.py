"""Verdicts as constraints of a search: one number per constraint, zero or less where the model may pass.

Pure: no optuna, no files, no clock. A constraint is called ``<safeguard>/<measure>``, as its metric is. Every one that
was asked for gets a finite number whatever happened, because a search takes a trial that lacks one for feasible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safeguards.core.errors import ConfigurationError
from safeguards.core.limit import DecideOn
from safeguards.core.verdict import Outcome, Verdict

__all__ = ["Policy", "name_of", "violation", "violations"]

LARGE = 1e3


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What counts as a violation.

    ``inconclusive_is_feasible``: whether a measure whose interval crosses its limit may win; then the better end of the
    interval decides, otherwise the worse. ``unmeasured``: the violation of what was never measured, in the unit of the
    measure; no other violation is larger. It should exceed any real one, and not by so much that a sampler that models
    the constraint sees nothing else.

    Raises `ConfigurationError` unless ``unmeasured`` is a finite number above 0.
    """

    inconclusive_is_feasible: bool = False
    unmeasured: float = LARGE

    def __post_init__(self) -> None:
        if not (math.isfinite(self.unmeasured) and self.unmeasured > 0):
            raise ConfigurationError(f"Policy(unmeasured={self.unmeasured!r}): expected a finite number above 0")


def violation(verdict: Verdict, policy: Policy, *, decide_on: DecideOn = "interval") -> float:
    """How far a verdict is from letting the model pass, in the unit of the measure.

    0 or less passes, and the more it is below, the more room there is; above 0 does not. It is the distance of the end
    of the interval that decides, or of the value where that decides. Never NaN, never infinite.
    """
    margin = _deciding_margin(verdict, policy, decide_on)
    passes = verdict.outcome.admits or (verdict.outcome is Outcome.INCONCLUSIVE and policy.inconclusive_is_feasible)
    if margin is None or (margin >= 0 and not passes):
        return policy.unmeasured
    return max(-policy.unmeasured, min(0.0 - margin, policy.unmeasured))


def violations(
    verdicts: Sequence[Verdict],
    constraints: Sequence[str],
    policy: Policy,
    *,
    decided_on: Mapping[str, DecideOn] | None = None,
) -> dict[str, float]:
    """The violation of each constraint by the last verdict on it; of several loaders, by the worst.

    ``decided_on`` tells by safeguard whether the interval or the value decides. Verdicts of a test are left out: to
    choose a model by its test rows would spoil them.
    """
    last: dict[tuple[str, str | None], Verdict] = {}
    for verdict in verdicts:
        if verdict.moment.stage != "test":
            last[name_of(verdict), verdict.moment.loader] = verdict
    found = dict.fromkeys(constraints, -math.inf)
    for (name, _), verdict in last.items():
        if name in found:
            decide_on = (decided_on or {}).get(verdict.safeguard, "interval")
            found[name] = max(found[name], violation(verdict, policy, decide_on=decide_on))
    return {name: value if math.isfinite(value) else policy.unmeasured for name, value in found.items()}


def name_of(verdict: Verdict) -> str:
    """The constraint that a verdict is about."""
    return f"{verdict.safeguard}/{verdict.measure}"


def _deciding_margin(verdict: Verdict, policy: Policy, decide_on: DecideOn) -> float | None:
    """None where no number decided: nothing was measured, or the model was at fault, which is a FAIL at any value."""
    limit, interval = verdict.limit, verdict.interval
    if verdict.outcome in (Outcome.ERROR, Outcome.NOT_EVALUATED) or limit is None or verdict.margin is None:
        return None
    if interval is None or decide_on == "point":
        return verdict.margin
    worse, better = sorted(limit.margin(end) for end in interval)
    if math.isnan(worse) or math.isnan(better) or (verdict.outcome is Outcome.FAIL and better >= 0):
        return None
    return better if policy.inconclusive_is_feasible else worse
