"""What stands in the registry at the moment of a ruling, and the ruling on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.canonical import canonical, sha256
from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.core.files import digest_of_file
from safeguards.gate.asking import Asker, why_of
from safeguards.gate.candidate import Candidate
from safeguards.gate.following import DONE, MOVING, RECORD, follow, is_moving, is_unfinished, newest_move
from safeguards.gate.history import LONGEST_EXPIRING, Entry, History
from safeguards.gate.judging import Ruling, judge
from safeguards.gate.policy import Policy
from safeguards.gate.recalling import recalled, text_of
from safeguards.gate.record import Record
from safeguards.tracking.standing import what_waits

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry
    from safeguards.tracking.registered import Version

__all__ = ["Gate", "champion"]


def champion(registry: ModelRegistry, folder: Path | str) -> Candidate | None:
    """The champion by the history, fetched into an empty folder and checked; None where there is none yet.

    Raises `RegistryError` when the alias points elsewhere, and `EvidenceError` when its files are not what they were.
    """
    gate = Gate.enter(registry)
    if gate.history.champion is None:
        return None
    return Candidate.fetch(registry, gate.champion_record, Path(folder))


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the registry holds at the moment of a ruling."""

    registry: ModelRegistry
    history: History

    @classmethod
    def enter(cls, registry: ModelRegistry) -> Gate:
        """Read the history, and finish what was stopped between an entry and its alias."""
        gate = cls(registry=registry, history=History.sound(registry))
        alias, expected = registry.champion(), gate.history.champion
        if alias == expected:
            return gate
        move = newest_move(gate.history)
        if move is None or not is_unfinished(registry, gate.history, alias):
            raise RegistryError(
                f"the alias champion of {registry.name!r} is at version {alias}, and the history says {expected}: it "
                f"was moved outside of the gate; put it right with safeguards rollback --to {expected or 'VERSION'}"
            )
        follow(registry, move)
        if alias is not None and is_moving(registry, alias):
            registry.tag(alias, {MOVING: DONE})
        return gate

    @property
    def champion_record(self) -> str:
        """The digest of the champion's record."""
        return next(entry.record for entry in reversed(self.history.entries) if entry.version == self.history.champion)

    def settled(self, record: Record, policy: Policy) -> Entry | None:
        """The entry that answers for this record: its own, or that of a training on the same data with the same
        configuration, which is not tried until it is lucky. A refusal answers under its own policy only.
        """
        rulings = [entry for entry in self.history.entries if entry.is_ruling]
        refused = [entry for entry in rulings if entry.action == "refused" and entry.policy == policy.digest]
        promoted = [entry for entry in rulings if entry.action == "promoted"]
        own = [entry for entry in (*promoted, *refused) if entry.record == record.digest]
        if own:
            return own[0]
        replaced = [one for one in promoted if one.key == record.key and one.version != self.history.champion]
        others = [*replaced[-1:], *[one for one in refused if one.key == record.key][-1:]]
        return next((entry for entry in others if self._answers(entry, record)), None)

    def _answers(self, entry: Entry, record: Record) -> bool:
        """Whether a training of the same key was the same: other code, other packages, another champion to be compared
        with, or the very same weights measured anew are reason to rule again.
        """
        known = self._known(entry)
        if known is None or (known.code, known.lock) != (record.code, record.lock):
            return False
        return entry.action == "promoted" or (known.champion == record.champion and known.weights != record.weights)

    def _known(self, entry: Entry) -> Record | None:
        """The record of an entry; None where it is lost or was changed."""
        try:
            return Candidate.fetch_record(self.registry, entry.record)
        except EvidenceError:
            return None

    def recall(self, entry: Entry, record: Record) -> Ruling:
        """The ruling that an entry tells of, unless it was overtaken since or is on another record of the key."""
        if entry.action == "promoted" and self.history.champion != entry.version:
            back = f"and replaced since; safeguards rollback --to {entry.version} makes it champion again"
            text = f"settled: version {entry.version} was promoted on {entry.when} {back}"
            return Ruling(admitted=False, reasons=(text,))
        found = recalled(self.registry, entry)
        if entry.record == record.digest:
            return replace(found, version=entry.version)
        what = f"version {entry.version}, of the same data and configuration, was refused on {entry.when}"
        return Ruling(
            admitted=False, reasons=(f"settled: {what}; trained once more it is not asked again", *found.reasons)
        )

    def repeats(self, record: Record, policy: Policy, ruling: Ruling) -> bool:
        """Whether the newest ruling on this data and configuration is the same refusal of the same weights."""
        last = next((one for one in reversed(self.history.entries) if one.is_ruling and one.key == record.key), None)
        told = ("refused", policy.digest, self.history.champion, _digest(ruling))
        if last is None or (last.action, last.policy, last.before, last.ruling) != told:
            return False
        known = self._known(last)
        return known is not None and known.weights == record.weights

    def rule(self, record: Record, policy: Policy, now: datetime, *, run: Path | None) -> Ruling:
        """The ruling on what stands in the registry now."""
        current = self._champion()
        attempts = self.history.attempts(other_than=record.digest, now=now, days=policy.window_days)
        state = None if record.tracking_run is None else self._tracking(record, run)
        ruling = judge(record, policy, champion=current, now=now, attempts=attempts, tracking=state)
        extra = [*self._about_chain(record), *self._about_key(record, current), *_about_room(ruling)]
        extra += _about_ledger(record, run)
        if extra:
            ruling = replace(ruling, admitted=False, reasons=(*extra, *ruling.reasons))
        return ruling if ruling.admitted else replace(ruling, expiring=())

    def _tracking(self, record: Record, run: Path | None) -> str | None:
        """The word of the store, unless the spool of the run knows better: a store that is away was told nothing."""
        if run is not None and run.name != record.run_id:
            return f"{run.name} is the directory of another run"
        return (what_waits(run) if run else None) or self.registry.tracking(str(record.tracking_run))

    def _champion(self) -> Record | None:
        if self.history.champion is None:
            return None
        return Candidate.fetch_undisturbed_record(self.registry, self.champion_record)

    def _about_chain(self, record: Record) -> list[str]:
        known = {one.tags[RECORD] for one in self.registry.versions() if RECORD in one.tags}
        known = (known | {entry.record for entry in self.history.entries if entry.version}) - {record.digest}
        if record.previous is None and known:
            return ["previous: it was sealed as the first of its model, and it is not: seal it again"]
        if record.previous is not None and record.previous not in known:
            return [f"previous: it is chained to {record.previous[:12]}, a record that this registry does not know"]
        return []

    def _about_key(self, record: Record, current: Record | None) -> list[str]:
        if current is None or current.key != record.key or current.digest == record.digest:
            return []
        return ["champion: it was trained on the same data with the same configuration; there is nothing to gain"]

    def entry(self, ruling: Ruling, version: Version, record: Record, by: Asker) -> Entry:
        """What the history will say of a ruling."""
        before = self.history.champion
        return self.history.next(
            when=by.when,
            who=by.who,
            action="promoted" if ruling.admitted else "refused",
            why=by.why if ruling.admitted else why_of(ruling, by.why),
            before=before,
            after=version.number if ruling.admitted else before,
            version=version.number,
            record=record.digest,
            policy=by.policy.digest,
            expiring=ruling.expiring,
            ruling=_digest(ruling),
            key=record.key,
        )


def _about_ledger(record: Record, run: Path | None) -> list[str]:
    """Verdicts that came after the sealing are not in the record; another run's directory is told as tracking."""
    if run is None or run.name != record.run_id:
        return []
    try:
        _, digest = digest_of_file(run / "verdicts.jsonl")
    except EvidenceError:
        return [
            "ledger: the directory of the run does not hold the verdicts.jsonl that was sealed, or it cannot be read"
        ]
    if digest != record.ledger:
        return [
            "ledger: verdicts.jsonl of the run is not the one that was sealed: verdicts were added or changed since"
        ]
    return []


def _about_room(ruling: Ruling) -> list[str]:
    """An audit tells of every waiver that has expired, so that the history must hold the end of each that was used."""
    if len(canonical(ruling.expiring)) <= LONGEST_EXPIRING:
        return []
    return [f"waivers: {len(ruling.expiring)} are needed, more than the history has room for; mend what they set aside"]


def _digest(ruling: Ruling) -> str:
    return sha256(text_of(ruling).encode())
