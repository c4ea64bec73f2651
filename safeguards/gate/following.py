"""The alias follows the history: what an entry says is done, and done again where it was stopped."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from safeguards.gate.history import Entry, History

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry

__all__ = [
    "FOLLOWED",
    "KEY",
    "MOST_ROUNDS",
    "MOVING",
    "RECORD",
    "RULING",
    "STATE",
    "follow",
    "is_moving",
    "is_told",
    "is_unfinished",
    "newest_move",
]

RECORD, KEY, STATE, RULING, FOLLOWED, MOVING = (
    f"safeguards.{name}" for name in ("record", "key", "state", "ruling", "followed", "moving")
)
DONE = "done"
STILL = ("countersigned", "turned away")
STALLED = timedelta(days=1)
"""Whoever began to move an alias and has not told of the end for so long is dead."""
MOST_ROUNDS = 20
"""In each of which another host was faster."""


def follow(registry: ModelRegistry, entry: Entry) -> None:
    """Do what an entry says: the alias first, then the tags that tell that all was done."""
    if entry.action == "refused":
        registry.tag(entry.version, {STATE: "refused"})
        return
    _point(registry)
    registry.tag(entry.version, {STATE: "promoted", FOLLOWED: str(entry.number)})


def _point(registry: ModelRegistry) -> None:
    """Move the alias to where the newest entry says, until no newer one was written meanwhile.

    The version is marked before: who stalls there, moves the alias when another has been promoted, and is killed before
    he looks again, leaves the mark.
    """
    mark = f"{datetime.now(UTC).isoformat(timespec='seconds')} {secrets.token_hex(4)}"
    marked: list[int] = []
    for _ in range(MOST_ROUNDS):
        wanted = History.sound(registry).champion
        if wanted is None:
            break
        if registry.champion() != wanted:
            if not is_moving(registry, wanted):
                registry.tag(wanted, {MOVING: mark})
                marked.append(wanted)
            registry.point(wanted)
        if History.sound(registry).champion == wanted:
            break
    for number in marked:
        if _tags(registry, number).get(MOVING) == mark:
            registry.tag(number, {MOVING: DONE})


def is_moving(registry: ModelRegistry, number: int | None) -> bool:
    """Whether somebody began to move the alias to this version, and has not told yet that all was done."""
    when = _tags(registry, number).get(MOVING, DONE).partition(" ")[0]
    try:
        return abs(datetime.now(UTC) - datetime.fromisoformat(when)) < STALLED
    except (ValueError, TypeError):
        return False


def is_unfinished(registry: ModelRegistry, history: History, alias: int | None) -> bool:
    """Whether the alias is where a stopped writer left it: before its entry's, or, a late one's, behind the newest."""
    last = newest_move(history)
    return last is not None and ((alias == last.before and not is_told(registry, last)) or is_moving(registry, alias))


def newest_move(history: History) -> Entry | None:
    """The newest entry that rules or rolls back; the others leave everything where it is."""
    return next((entry for entry in reversed(history.entries) if entry.action not in STILL), None)


def is_told(registry: ModelRegistry, entry: Entry) -> bool:
    """Whether the tags say that all of an entry was done, or its version is gone and nothing can say so."""
    tags = _tags(registry, entry.after)
    return not tags or tags.get(FOLLOWED) == str(entry.number)


def _tags(registry: ModelRegistry, number: int | None) -> Mapping[str, str]:
    """Empty where the version is gone."""
    return next((one.tags for one in registry.versions() if one.number == number), {})
