"""How a retraining ended, for whoever is told and for people who read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from safeguards.tracking import safe_line

__all__ = ["COMPLETE", "as_of_now", "conclusion", "ending"]

COMPLETE = "complete"
"""The state of a training that came to its end, so that there is a challenger."""

Plain = Mapping[str, Any]


def ending(about: Plain, trained: Plain | None = None, ruled: Plain | None = None, card: Plain | None = None) -> Plain:
    """``about`` which retraining it is, with ``ended`` and its ``reasons``: "promoted", "kept" or "nothing to do".

    ``trained`` is the ending of the training, None where nothing called for one; ``ruled`` what the gate said, None
    where the safeguards ended the training; ``card`` where the card lies, or why there is none.
    """
    if trained is None:
        return {**about, "ended": "nothing to do", "reasons": []}
    if ruled is None:
        return {**about, "ended": "kept", "reasons": [f"the safeguards ended the training: {trained['reason']}"]}
    return {**about, "ended": "promoted" if ruled["admitted"] else "kept", **ruled, **(card or {})}


def as_of_now(ended: Plain, champion: Callable[[], int | None]) -> Plain:
    """``ended``, unless it tells of a promotion and another version is ``champion`` now: that one was kept."""
    if ended["ended"] != "promoted" or (now := champion()) == ended["version"]:
        return ended
    held = "no model is champion" if now is None else f"version {now} is champion"
    told = f"version {ended['version']} was promoted then, and {held} now"
    why = f"{told}: `safeguards history {ended['model']}` says why"
    return {**ended, "ended": "kept", "reasons": [why]}


def conclusion(ended: Plain) -> str:
    """For people: how it ended and why, and where the card or the job lies."""
    told = [
        f"{ended['model']}: {ended['ended']}; {ended['decision']}",
        *(f"  {safe_line(why)}" for why in ended["reasons"]),
    ]
    if "no_card" in ended and "card" not in ended:
        told.append(f"  the card is not written: {ended['no_card']}; call this again to write it")
    return "\n".join([*told, f"  {ended.get('card', ended['job'])}"])
