"""An earlier champion back in its place, by an entry of its own in the history."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.gate.candidate import Candidate
from safeguards.gate.following import MOST_ROUNDS, follow, is_told, newest_move
from safeguards.gate.fresh import SECONDS, check_in_a_fresh_process
from safeguards.gate.history import Entry, History
from safeguards.gate.keys import signer_of_entries
from safeguards.gate.witness import append

if TYPE_CHECKING:
    from datetime import datetime

    from safeguards.gate.policy import Policy
    from safeguards.tracking import ModelRegistry

__all__ = ["rollback"]


def rollback(
    registry: ModelRegistry,
    *,
    to: int | None = None,
    why: str = "",
    who: str | None = None,
    now: datetime | None = None,
    policy: Policy | None = None,
    seconds: float = SECONDS,
) -> int:
    """Make an earlier champion the champion again; returns its version.

    By default the one before, then the one before that: never forth to what was taken off. A rollback that was stopped
    is finished by the next one, which goes no further. With ``policy``, which says what classes may be loaded, a fresh
    process must load the model and predict within ``seconds``; without, digests alone are checked.

    Raises `RegistryError` for a version that never was champion, `EvidenceError` when its files were changed
    or it does not predict here, `ConfigurationError` where keys are trusted and this host's is none of them.
    """
    signer = signer_of_entries()
    for _ in range(MOST_ROUNDS):
        history = History.sound(registry)
        if (stopped := _stopped(registry, history)) is not None and to in (None, stopped.version):
            follow(registry, stopped)
            return stopped.version
        target = _before(history) if to is None else _known(history, to)
        if target == history.champion and registry.champion() == target:
            return target
        record = next(entry.record for entry in history.entries if entry.after == target)
        with tempfile.TemporaryDirectory() as place:
            found = Candidate.fetch(registry, record, Path(place))
            if policy is not None:
                _check_prediction(found, target, policy, seconds)
        about = {"after": target, "version": target, "record": record}
        entry = history.next_by_hand("rolled back", now=now, who=who, why=why, **about)
        if append(registry, entry, signer):
            follow(registry, entry)
            return target
    raise RegistryError(f"{MOST_ROUNDS} times another host was faster; run it again")


def _check_prediction(found: Candidate, version: int, policy: Policy, seconds: float) -> None:
    stored = found.stored
    problem = check_in_a_fresh_process(stored.folder, digest=stored.digest, allowed=policy.classes, seconds=seconds)
    if problem is not None:
        raise EvidenceError(f"version {version} does not predict here any more: {problem}")


def _stopped(registry: ModelRegistry, history: History) -> Entry | None:
    """The newest entry, if it is a rollback that was stopped after it was written."""
    last = newest_move(history)
    return last if last is not None and last.action == "rolled back" and not is_told(registry, last) else None


def _known(history: History, to: int) -> int:
    if to not in history.champions:
        known = ", ".join(map(str, history.champions)) or "none"
        raise RegistryError(f"version {to} was never champion; those that were: {known}")
    return to


def _before(history: History) -> int:
    """The champion under the one of now: promotions pile up, and a rollback takes off what lies above its target."""
    pile: list[int] = []
    for entry in history.entries:
        if entry.after is None or entry.action not in ("promoted", "rolled back"):
            continue
        if entry.after in pile:
            del pile[pile.index(entry.after) + 1 :]
        else:
            pile.append(entry.after)
    if len(pile) < 2:
        raise RegistryError("there is no earlier champion to go back to; safeguards rollback --to N names any that was")
    return pile[-2]
