"""Record and policy give a ruling: admitted, or refused with every reason. Pure: no file, no clock, no registry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from safeguards.core.limit import Limit, decide
from safeguards.core.report import latest
from safeguards.core.verdict import Measurement, Verdict
from safeguards.gate.paired import Comparison
from safeguards.gate.policy import ChampionRule, PairedRule, Policy, Waiver
from safeguards.gate.record import Record

__all__ = ["AHEAD", "TRACKING", "Ruling", "judge", "moment_of"]

TRACKING = "tracking"

AHEAD = timedelta(minutes=10)
"""By which clocks of two hosts may differ."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """Whether a model may replace the champion. ``reasons`` are all that speak against it; ``waived`` those set aside.

    ``expiring`` gives each measure that was set aside and when its waiver ends; a refusal by the gate has none.
    ``version`` is its number in the registry, where it got one.
    """

    admitted: bool
    reasons: tuple[str, ...] = ()
    waived: tuple[str, ...] = ()
    expiring: tuple[tuple[str, str], ...] = ()
    version: int | None = None


def judge(
    record: Record,
    policy: Policy,
    *,
    champion: Record | None,
    now: datetime,
    attempts: int = 0,
    tracking: str | None = "complete",
) -> Ruling:
    """Hold a record against a policy.

    Args:
        record: of the challenger, read and so intact.
        policy: what is asked for.
        champion: the record of the model in production now; None where there is none.
        now: with a time zone.
        attempts: other challengers of this model that were ruled on within ``policy.window_days``.
        tracking: the tag ``safeguards.tracking`` of the record's MLflow run.

    """
    found = [
        *_about_age(record, policy, now),
        *_about_tracking(record, policy, tracking),
        *_about_verdicts(record, policy),
        *_about_limits(record, policy),
        *_about_champion(record, policy, champion),
        *_about_pairs(record, policy, champion, attempts),
    ]
    against: list[str] = []
    waived: list[str] = []
    used: dict[str, str] = {}
    for subject, reason in found:
        waiver = _waiver_for(subject, policy.waivers)
        if waiver is not None and waiver.holds(now):
            used[waiver.measure] = waiver.expires.astimezone(UTC).isoformat(timespec="seconds")
            waived.append(
                f"{subject}: {reason} (waived by {waiver.name} until {waiver.expires:%Y-%m-%d}: {waiver.reason})"
            )
        else:
            against.append(f"{subject or 'champion'}: {reason}{_expired(waiver)}")
    return Ruling(admitted=not against, reasons=tuple(against), waived=tuple(waived), expiring=tuple(used.items()))


Reasons = Iterator[tuple[str | None, str]]
"""What may be waived by this name, and the reason; integrity has a subject that no waiver can name."""


def _about_age(record: Record, policy: Policy, now: datetime) -> Reasons:
    for what, text in (("evidence", record.judged), ("record", record.made)):
        moment = moment_of(text)
        if moment is None:
            yield "age", f"the moment of the {what} is {text[:40]!r}, which is none"
        elif moment > now + AHEAD:
            yield "age", f"the {what} is of {text}, which is to come: is a clock wrong?"
    judged = moment_of(record.judged)
    days = math.inf if judged is None else (now - judged) / timedelta(days=1)
    within = Limit(at_most=policy.maximum_age_days)
    if judged is not None and within.margin(days) < 0:
        yield (
            "age",
            f"the evidence is {days:.1f} days old, at most {policy.maximum_age_days:g} are allowed; judge it again",
        )


def _about_tracking(record: Record, policy: Policy, tracking: str | None) -> Reasons:
    if not policy.tracked:
        return
    if record.tracking_run is None:
        yield TRACKING, "the run is not in MLflow, and the policy asks for tracked runs"
    elif tracking != "complete":
        yield TRACKING, f"MLflow does not have all of the run yet ({tracking or 'no word'}); run safeguards sync"


def _about_verdicts(record: Record, policy: Policy) -> Reasons:
    held: dict[str, list[Verdict]] = {}
    for verdict in latest(record.verdicts):
        held.setdefault(_name(verdict), []).append(verdict)
    for name in dict.fromkeys(policy.required):
        if name not in held:
            yield name, "no verdict on it, and the policy requires one"
    for name, verdicts in held.items():
        for verdict in verdicts:
            where = f" [{verdict.moment.loader}]" if verdict.moment.loader else ""
            if not verdict.outcome.admits:
                yield name, f"{verdict.outcome}{where} at {verdict.moment}: {verdict.reason}"
            elif not _is_consistent(verdict):
                yield name, f"{verdict.outcome}{where} with the value {verdict.value}, which its limit does not allow"


def _about_limits(record: Record, policy: Policy) -> Reasons:
    for name, limit in policy.limits.items():
        verdicts = [one for one in latest(record.verdicts) if _name(one) == name]
        if not verdicts and name not in policy.required:
            yield name, f"no verdict on it, and the policy limits it to {limit}"
        for verdict in verdicts:
            measured = _measured(verdict)
            if measured is None:
                yield name, f"no number was measured, and the policy limits it to {limit}"
                continue
            decision = decide(measured, limit)
            if not decision.outcome.admits:
                yield name, f"{decision.outcome} by the policy: {decision.reason}"


def _about_champion(record: Record, policy: Policy, champion: Record | None) -> Reasons:
    compared, now = record.champion, None if champion is None else champion.digest
    if compared != now:
        yield (
            None,
            (
                f"it was compared with the champion {_short(compared)}, and the champion now is {_short(now)}: "
                "compare again, or a better model would be lost"
            ),
        )
    if champion is None:
        return
    for name, rule in policy.against_champion.items():
        yield from ((name, why) for why in _against(rule, _worst(record, name), _worst(champion, name)))


def _against(rule: ChampionRule, ours: list[Verdict], theirs: list[Verdict]) -> Iterator[str]:
    """Stage by stage and loader by loader: what only one of the two was judged on is no comparison."""
    what = f"the {rule.of} to the champion"
    mine, base = ({(one.moment.stage, one.moment.loader): one for one in side} for side in (ours, theirs))
    if not (mine or base):
        yield f"{what} cannot be told: it has no verdict on it"
    for place in dict.fromkeys((*mine, *base)):
        if place in mine and place in base:
            yield from _beside(rule, mine[place], base[place], what)
            continue
        where = "" if place[1] is None else f"[{place[1]}]"
        whose = "the champion has" if place in mine else "it has"
        yield f"{what} cannot be told: {whose} no verdict on it at {place[0]}{where}"


def _beside(rule: ChampionRule, one: Verdict, other: Verdict, what: str) -> Iterator[str]:
    value, base = one.value, other.value
    if value is None or base is None or (rule.of == "ratio" and base == 0):
        yield f"{what} cannot be told from {value} and {base}"
        return
    found = Measurement(value=value / base if rule.of == "ratio" else value - base, n=min(one.n, other.n))
    decision = decide(found, rule.limit)
    if not decision.outcome.admits:
        yield f"{decision.outcome}: {what} ({value:.4g} against {base:.4g}) is {decision.reason}"


def _about_pairs(record: Record, policy: Policy, champion: Record | None, attempts: int) -> Reasons:
    if champion is None or not policy.paired:
        return
    if attempts >= policy.planned_attempts:
        yield (
            "paired",
            (
                f"{attempts} challengers were compared within {policy.window_days:g} days, {policy.planned_attempts} "
                "are planned for: one of them would win by chance; wait, or plan for more"
            ),
        )
    for name, rule in policy.paired.items():
        compared = record.compared(name)
        if not compared:
            yield f"paired/{name}", "it was not compared with the champion, and the policy asks for it"
        for comparison in compared:
            what = f"paired/{comparison.measure}"
            if comparison.data not in record.data:
                yield what, f"it was compared on {comparison.data!r}, of which the record has no digest"
            else:
                yield from ((what, why) for why in _paired(comparison, rule, policy))


def _paired(comparison: Comparison, rule: PairedRule, policy: Policy) -> Iterator[str]:
    gain = comparison.measured(alpha=policy.alpha, higher_is_better=rule.better == "higher")
    margin = (
        max(rule.margin, rule.margin_share * abs(comparison.champion)) if gain.insufficient is None else rule.margin
    )
    decision = decide(gain, Limit(at_least=-margin if math.isfinite(margin) else 0.0))
    if not decision.outcome.admits:
        yield f"{decision.outcome}, not shown to be no worse: the gain is {decision.reason}"
    if rule.minimum_effect is None:
        return
    better = decide(gain, Limit(at_least=0.0))
    enough = decide(gain, Limit(at_least=rule.minimum_effect), on="point")
    if not better.outcome.admits:
        yield f"{better.outcome}, not shown to be better: the gain is {better.reason}"
    elif not enough.outcome.admits:
        yield f"{enough.outcome}, too small a gain to be worth a change: {enough.reason}"


def _worst(record: Record, name: str) -> list[Verdict]:
    return [one for one in latest(record.verdicts) if _name(one) == name and one.outcome.name != "NOT_EVALUATED"]


def _measured(verdict: Verdict) -> Measurement | None:
    if verdict.value is None or not math.isfinite(verdict.value):
        return None
    return Measurement(value=verdict.value, n=verdict.n, interval=verdict.interval, unit=verdict.unit)


def _is_consistent(verdict: Verdict) -> bool:
    if verdict.value is None or not math.isfinite(verdict.value):
        return False
    return verdict.limit is None or verdict.limit.margin(verdict.value) >= 0


def _name(verdict: Verdict) -> str:
    return f"{verdict.safeguard}/{verdict.measure}"


def _waiver_for(subject: str | None, waivers: tuple[Waiver, ...]) -> Waiver | None:
    """Of several the one that holds longest."""
    named = [waiver for waiver in waivers if subject is not None and waiver.measure == subject]
    return max(named, key=lambda waiver: waiver.expires, default=None)


def _expired(waiver: Waiver | None) -> str:
    return "" if waiver is None else f" (the waiver by {waiver.name} expired on {waiver.expires:%Y-%m-%d})"


def moment_of(text: str) -> datetime | None:
    """What an ISO 8601 text tells, with a time zone, UTC by default; None for another text."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]
