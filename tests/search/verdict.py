"""Verdicts with only what a search reads of them."""

from safeguards import Limit, Measurement, Moment, Outcome, Verdict
from safeguards.core.limit import decide

AT_MOST = Limit(at_most=0.1)


def judged(value, interval=None, *, limit=AT_MOST, on="interval", measure="gap", stage="validate", loader=None, **more):
    """A verdict as the library reaches it."""
    found = Measurement(value=value, n=100, interval=interval, **more)
    decision = decide(found, limit, on=on)
    return Verdict(
        safeguard="toy",
        measure=measure,
        outcome=decision.outcome,
        reason=decision.reason,
        moment=Moment(stage=stage, epoch=0, step=1, loader=loader),
        value=value,
        limit=limit,
        margin=decision.margin,
        interval=interval,
        n=100,
    )


def broken(outcome=Outcome.ERROR, *, measure="gap", stage="fit_end"):
    """A verdict without a number."""
    moment = Moment(stage=stage, epoch=0, step=1)
    return Verdict(safeguard="toy", measure=measure, outcome=outcome, reason="told to", moment=moment, limit=AT_MOST)
