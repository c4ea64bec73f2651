"""From a folder to the champion: register, judge, write history, move the alias. Stopped anywhere, it ends the same.

    registered -> evaluated -> promoted | refused        (tag ``safeguards.state`` of the version)

What decides is the history, of which each entry is written by exactly one of all writers: where another was faster, the
ruling is made anew on what stands then. The alias follows the history, never the other way round.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.canonical import canonical
from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.core.signing import Signer
from safeguards.gate.candidate import Candidate
from safeguards.gate.fresh import SECONDS, check_in_a_fresh_process
from safeguards.gate.history import Entry, History, myself
from safeguards.gate.judging import TRACKING, Ruling, judge
from safeguards.gate.policy import Policy
from safeguards.gate.record import Record
from safeguards.tracking.standing import what_waits

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry
    from safeguards.tracking.registered import Version

__all__ = ["FOLLOWED", "KEY", "RECORD", "STATE", "champion", "is_unfinished", "promote", "rollback"]

RECORD, KEY, STATE, RULING, FOLLOWED = (
    f"safeguards.{name}" for name in ("record", "key", "state", "ruling", "followed")
)
MOST_ROUNDS = 20
"""In each of which another host was faster."""
LONGEST_RULING = 20_000


def promote(
    folder: Path | str,
    *,
    policy: Policy,
    registry: ModelRegistry,
    why: str = "",
    who: str | None = None,
    now: datetime | None = None,
    seconds: float = SECONDS,
    run: Path | str | None = None,
) -> Ruling:
    """Promote a candidate to champion, or refuse it with every reason.

    Args:
        folder: ``record.json`` and the stored model in ``model/``.
        policy: what is asked for.
        registry: of the model that the record names.
        why: for the history.
        who: for the history; None is this user and host.
        now: the moment of ruling; the clock's otherwise.
        seconds: within which a fresh process must have loaded the model and predicted.
        run: the run's directory, where it is on this machine: its spool knows of what never reached the store to tell.

    Raises:
        RegistryError: the registry fails, or was changed outside of the gate (``safeguards audit`` says how).

    """
    try:
        candidate = Candidate.read(folder, signed=policy.signed)
    except EvidenceError as error:
        return Ruling(admitted=False, reasons=(f"evidence: {error}",))
    problem = _unfit(candidate, policy, registry, seconds)
    if problem is not None:
        return Ruling(admitted=False, reasons=(problem,))
    moment = now or datetime.now(UTC)
    signer = Signer.configured()
    for _ in range(MOST_ROUNDS):
        gate = _Gate.enter(registry)
        version = _registered(registry, candidate)
        settled = gate.settled(candidate.record, policy)
        if settled is None:
            ruling = gate.rule(candidate.record, policy, moment, run=Path(run) if run else None)
            registry.tag(version.number, {STATE: "evaluated", RULING: _text(ruling)})
            if _waits(ruling):
                return replace(ruling, version=version.number)
            entry = gate.entry(ruling, version, candidate.record, policy, moment, who or myself(), why)
            if not registry.append(entry.number, entry.text(signer)):
                continue
        else:
            entry, ruling = settled, _recalled(settled, gate.history)
        _follow(registry, entry)
        return replace(ruling, version=version.number)
    raise RegistryError(f"{MOST_ROUNDS} times another host was faster; run it again")


def rollback(
    registry: ModelRegistry,
    *,
    to: int | None = None,
    why: str = "",
    who: str | None = None,
    now: datetime | None = None,
) -> int:
    """Make an earlier champion the champion again, the one before by default; returns its version.

    Raises `RegistryError` for a version that never was champion, `EvidenceError` when its files were changed.
    """
    signer = Signer.configured()
    for _ in range(MOST_ROUNDS):
        history = History.sound(registry)
        target = _target(history, to)
        if target == history.champion and registry.champion() == target:
            return target
        record = next(entry.record for entry in history.entries if entry.after == target)
        with tempfile.TemporaryDirectory() as place:
            Candidate.fetch(registry, record, Path(place))
        entry = history.next(
            when=_iso(now or datetime.now(UTC)),
            who=who or myself(),
            action="rolled back",
            why=why,
            before=history.champion,
            after=target,
            version=target,
            record=record,
            policy="",
        )
        if registry.append(entry.number, entry.text(signer)):
            _follow(registry, entry)
            return target
    raise RegistryError(f"{MOST_ROUNDS} times another host was faster; run it again")


def champion(registry: ModelRegistry, folder: Path | str) -> Candidate | None:
    """The champion by the history, fetched into an empty folder and checked; None where there is none yet.

    Raises `RegistryError` when the alias points elsewhere, and `EvidenceError` when its files are not what they were.
    """
    gate = _Gate.enter(registry)
    if gate.history.champion is None:
        return None
    return Candidate.fetch(registry, gate.champion_record, Path(folder))


@dataclass(frozen=True, kw_only=True)
class _Gate:
    """What the registry holds at the moment of a ruling."""

    registry: ModelRegistry
    history: History

    @classmethod
    def enter(cls, registry: ModelRegistry) -> _Gate:
        """Read the history, and finish what was stopped between an entry and its alias."""
        gate = cls(registry=registry, history=History.sound(registry))
        alias, expected = registry.champion(), gate.history.champion
        if alias == expected:
            return gate
        if not is_unfinished(registry, gate.history, alias):
            raise RegistryError(
                f"the alias champion of {registry.name!r} is at version {alias}, and the history says {expected}: it "
                f"was moved outside of the gate; put it right with safeguards rollback --to {expected or 'VERSION'}"
            )
        _follow(registry, gate.history.entries[-1])
        return gate

    @property
    def champion_record(self) -> str:
        """The digest of the champion's record."""
        return next(entry.record for entry in reversed(self.history.entries) if entry.version == self.history.champion)

    def settled(self, record: Record, policy: Policy) -> Entry | None:
        """The entry on this record, if it was promoted, or refused by this very policy."""
        about = [entry for entry in self.history.about(record.digest) if entry.action != "rolled back"]
        last = about[-1] if about else None
        if last is None or (last.action == "refused" and last.policy != policy.digest):
            return None
        return last

    def rule(self, record: Record, policy: Policy, now: datetime, *, run: Path | None) -> Ruling:
        """The ruling on what stands in the registry now."""
        current = self._champion()
        attempts = self.history.attempts(other_than=record.digest, now=now, days=policy.window_days)
        state = None if record.tracking_run is None else self._tracking(record, run)
        ruling = judge(record, policy, champion=current, now=now, attempts=attempts, tracking=state)
        extra = [*self._about_chain(record), *self._about_key(record, current)]
        return replace(ruling, admitted=ruling.admitted and not extra, reasons=(*extra, *ruling.reasons))

    def _tracking(self, record: Record, run: Path | None) -> str | None:
        """The word of the store, unless the spool of the run knows better: a store that is away was told nothing."""
        if run is not None and run.name != record.run_id:
            return f"{run.name} is the directory of another run"
        return (what_waits(run) if run else None) or self.registry.tracking(str(record.tracking_run))

    def _champion(self) -> Record | None:
        if self.history.champion is None:
            return None
        return Candidate.fetch_record(self.registry, self.champion_record)

    def _about_chain(self, record: Record) -> list[str]:
        known = {one.tags[RECORD] for one in self.registry.versions() if RECORD in one.tags}
        known = (known | {entry.record for entry in self.history.entries}) - {record.digest}
        if record.previous is None and known:
            return ["previous: it was sealed as the first of its model, and it is not: seal it again"]
        if record.previous is not None and record.previous not in known:
            return [f"previous: it is chained to {record.previous[:12]}, a record that this registry does not know"]
        return []

    def _about_key(self, record: Record, current: Record | None) -> list[str]:
        if current is None or current.key != record.key or current.digest == record.digest:
            return []
        return ["key: the champion was trained on the same data with the same configuration; there is nothing to gain"]

    def entry(
        self, ruling: Ruling, version: Version, record: Record, policy: Policy, now: datetime, who: str, why: str
    ) -> Entry:
        """What the history will say of a ruling."""
        before = self.history.champion
        reasons = "; ".join(ruling.reasons)
        used = {waiver.measure: waiver for waiver in policy.waivers if waiver.holds(now)}
        named = {text.partition(": ")[0] for text in ruling.waived}
        return self.history.next(
            when=_iso(now),
            who=who,
            action="promoted" if ruling.admitted else "refused",
            why=why if ruling.admitted else f"{reasons} ({why})" if why else reasons,
            before=before,
            after=version.number if ruling.admitted else before,
            version=version.number,
            record=record.digest,
            policy=policy.digest,
            expiring=tuple((name, _iso(one.expires)) for name, one in used.items() if name in named),
        )


def _unfit(candidate: Candidate, policy: Policy, registry: ModelRegistry, seconds: float) -> str | None:
    if candidate.record.model != registry.name:
        return f"model: the record is of {candidate.record.model!r}, and this is the registry of {registry.name!r}"
    problem = check_in_a_fresh_process(
        candidate.stored.folder, digest=candidate.stored.digest, allowed=policy.classes, seconds=seconds
    )
    return None if problem is None else f"prediction: {problem}"


def _registered(registry: ModelRegistry, candidate: Candidate) -> Version:
    """The version of this record: the lowest, should two hosts have made one each; the others say so."""
    digest = candidate.record.digest
    found = [one for one in registry.versions() if one.tags.get(RECORD) == digest]
    if not found:
        with tempfile.TemporaryDirectory() as place:
            _copy(candidate, Path(place))
            tags = {RECORD: digest, KEY: candidate.record.key, STATE: "registered"}
            registry.register(Path(place), digest, tags=tags)
        found = [one for one in registry.versions() if one.tags.get(RECORD) == digest]
    for twin in found[1:]:
        registry.tag(twin.number, {STATE: f"the same as version {found[0].number}"})
    return found[0]


def _copy(candidate: Candidate, place: Path) -> None:
    """Only the files that belong to it, each with the bytes that were checked."""
    for name in candidate.names:
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        file = name.rpartition("/")[2]
        content = (
            candidate.stored.content(file) if file in candidate.stored.files else (candidate.folder / name).read_bytes()
        )
        target.write_bytes(content)
    again = Candidate.read(place)
    if again.record.digest != candidate.record.digest:
        raise EvidenceError(f"{candidate.folder} was changed while it was promoted")


def _follow(registry: ModelRegistry, entry: Entry) -> None:
    """Do what an entry says: the alias first, then the tags that tell that all was done."""
    if entry.action == "refused":
        registry.tag(entry.version, {STATE: "refused"})
        return
    _point(registry)
    registry.tag(entry.version, {STATE: "promoted", FOLLOWED: str(entry.number)})


def _point(registry: ModelRegistry) -> None:
    """Move the alias to where the newest entry says, until no newer one was written meanwhile."""
    for _ in range(MOST_ROUNDS):
        wanted = History.sound(registry).champion
        if wanted is None:
            return
        if registry.champion() != wanted:
            registry.point(wanted)
        if History.sound(registry).champion == wanted:
            return


def is_unfinished(registry: ModelRegistry, history: History, alias: int | None) -> bool:
    """Whether the newest entry was written and, stopped there, its alias was not moved yet."""
    last = history.entries[-1] if history.entries else None
    target = None if last is None else next((v for v in registry.versions() if v.number == last.after), None)
    if last is None or target is None:
        return False
    return alias == last.before and target.tags.get(FOLLOWED) != str(last.number)


def _waits(ruling: Ruling) -> bool:
    """Whether nothing speaks against it but that MLflow does not have all of it yet: then it is ruled on later."""
    return not ruling.admitted and all(reason.startswith(f"{TRACKING}: ") for reason in ruling.reasons)


def _recalled(entry: Entry, history: History) -> Ruling:
    """The ruling that an entry tells of: a candidate that comes again is not ruled on again."""
    if entry.action == "promoted" and history.champion == entry.version:
        return Ruling(admitted=True)
    back = f"and replaced since; safeguards rollback --to {entry.version} makes it champion again"
    what = f"promoted on {entry.when} {back}" if entry.action == "promoted" else f"refused on {entry.when}: {entry.why}"
    return Ruling(admitted=False, reasons=(f"settled: version {entry.version} was {what}",))


def _target(history: History, to: int | None) -> int:
    if to is not None:
        if to not in history.champions:
            known = ", ".join(map(str, history.champions)) or "none"
            raise RegistryError(f"version {to} was never champion; those that were: {known}")
        return to
    befores = [
        entry.before for entry in history.entries if entry.after == history.champion and entry.before != entry.after
    ]
    if not befores or befores[-1] is None:
        raise RegistryError("there is no earlier champion to go back to")
    return befores[-1]


def _text(ruling: Ruling) -> str:
    told = {"admitted": ruling.admitted, "reasons": list(ruling.reasons), "waived": list(ruling.waived)}
    return canonical(told).decode()[:LONGEST_RULING]


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
