"""The alias follows the history: what an entry says is done, and done again where it was stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeguards.gate.history import Entry, History

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry

__all__ = [
    "FOLLOWED",
    "KEY",
    "MOST_ROUNDS",
    "RECORD",
    "RULING",
    "STATE",
    "follow",
    "is_told",
    "is_unfinished",
    "newest_move",
]

RECORD, KEY, STATE, RULING, FOLLOWED = (
    f"safeguards.{name}" for name in ("record", "key", "state", "ruling", "followed")
)
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
    last = newest_move(history)
    return last is not None and alias == last.before and not is_told(registry, last)


def newest_move(history: History) -> Entry | None:
    """The newest entry that rules or rolls back; one that countersigns leaves everything where it is."""
    return next((entry for entry in reversed(history.entries) if entry.action != "countersigned"), None)


def is_told(registry: ModelRegistry, entry: Entry) -> bool:
    """Whether the tags say that all of an entry was done, or its version is gone and nothing can say so."""
    version = next((one for one in registry.versions() if one.number == entry.after), None)
    return version is None or version.tags.get(FOLLOWED) == str(entry.number)
