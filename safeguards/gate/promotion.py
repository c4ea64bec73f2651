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

from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.core.signing import Signer, Verifier
from safeguards.gate.asking import Asker
from safeguards.gate.candidate import SEALED, Candidate
from safeguards.gate.claims import digest_of_claim
from safeguards.gate.entering import Gate
from safeguards.gate.following import KEY, MOST_ROUNDS, RECORD, RULING, STATE, follow, newest_move
from safeguards.gate.fresh import SECONDS, check_in_a_fresh_process
from safeguards.gate.history import Entry, myself
from safeguards.gate.judging import TRACKING, Ruling
from safeguards.gate.keys import signer_of_entries
from safeguards.gate.policy import Policy
from safeguards.gate.recalling import text_of
from safeguards.gate.witness import append

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry
    from safeguards.tracking.registered import Version

__all__ = ["promote"]


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
        run: the run's directory, where it is on this machine: its spool knows of what never reached the store to tell,
            and its ledger must be the one that was sealed.

    Raises:
        ConfigurationError: keys are trusted here, and this host's is none of them; nothing was written.
        RegistryError: the registry fails, or was changed outside of the gate (``safeguards audit`` says how).
        EvidenceError: files that the registry holds of the champion or of this candidate were changed, or something was
            planted beside them; nothing was ruled.

    """
    moment = now or datetime.now(UTC)
    by = Asker(registry=registry, policy=policy, moment=moment, who=who or myself(), why=why)
    try:
        candidate = Candidate.read(folder, signed=policy.signed)
        _check_own(candidate)
    except EvidenceError as error:
        return by.turn_away(f"evidence: {str(error).replace(f'{folder}/', '')}", file=digest_of_claim(Path(folder)))
    if candidate.record.model != registry.name:
        text = f"model: the record is of {candidate.record.model!r}, and this is the registry of {registry.name!r}"
        return by.turn_away(text, record=candidate.record.digest)
    asked = _Asked(
        candidate=candidate,
        by=by,
        problem=_problem(candidate, policy, seconds),
        signer=signer_of_entries(),
        run=Path(run) if run else None,
    )
    for _ in range(MOST_ROUNDS):
        ruling = asked.once()
        if ruling is not None:
            return ruling
    raise RegistryError(f"{MOST_ROUNDS} times another host was faster; run it again")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A candidate before the gate; ``problem`` is why it does not predict on this host, if it does not."""

    candidate: Candidate
    by: Asker
    problem: str | None
    signer: Signer | None
    run: Path | None

    def once(self) -> Ruling | None:
        """The ruling on what stands now, and all that follows from it; None where another host was faster."""
        record, registry, policy = self.candidate.record, self.by.registry, self.by.policy
        gate = Gate.enter(registry)
        settled = None if self.problem else gate.settled(record, policy)
        if settled is not None:
            return self._again(settled, gate)
        ruling = gate.rule(record, policy, self.by.moment, run=self.run)
        if self.problem:
            turned = self.by.turn_away(self.problem, *ruling.reasons, record=record.digest)
            return replace(turned, waived=ruling.waived)
        if gate.repeats(record, policy, ruling):
            return ruling
        version = _registered(registry, self.candidate)
        registry.tag(version.number, {STATE: "evaluated", RULING: text_of(ruling)})
        if ruling.admitted:
            _check_stored(registry, record.digest)
        if not _waits(ruling):
            entry = gate.entry(ruling, version, record, self.by)
            if not append(registry, entry, self.signer):
                return None
            follow(registry, entry)
        return replace(ruling, version=version.number)

    def _again(self, settled: Entry, gate: Gate) -> Ruling:
        if settled is newest_move(gate.history):
            follow(gate.registry, settled)
        elif settled.record == self.candidate.record.digest:
            gate.registry.tag(settled.version, {STATE: settled.action})
        return gate.recall(settled, self.candidate.record)


def _check_own(candidate: Candidate) -> None:
    """A host that signs entries and was told no keys trusts its own: it signs for no record that anybody could seal."""
    signer = Signer.configured()
    if signer is not None and Verifier.configured() is None:
        Verifier.of(signer).check(candidate.record.digest, candidate.folder / SEALED[1])


def _problem(candidate: Candidate, policy: Policy, seconds: float) -> str | None:
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


def _check_stored(registry: ModelRegistry, digest: str) -> None:
    """What will be served is what was ruled on, also where it was stored long ago and waited."""
    with tempfile.TemporaryDirectory() as place:
        Candidate.fetch(registry, digest, Path(place))


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


def _waits(ruling: Ruling) -> bool:
    """Whether nothing speaks against it but that MLflow does not have all of it yet: then it is ruled on later."""
    return not ruling.admitted and all(reason.startswith(f"{TRACKING}: ") for reason in ruling.reasons)
