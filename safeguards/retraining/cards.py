"""The card of a retraining's challenger: a card that cannot be written keeps neither an answer nor news waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safeguards.core.errors import SafeguardError
from safeguards.retraining.job import Job
from safeguards.tracking import safe_line

__all__ = ["carded", "carded_again"]

FIRST, AGAIN = "card", "card-again"
CARD, NO_CARD = "card", "no_card"

Plain = Mapping[str, Any]
Write = Callable[[Path], Plain]
"""Writes the card into a folder and answers with its name there, under ``card``."""


def carded(job: Job, write: Write) -> Plain:
    """The step `card`: where the card lies, or under ``no_card`` why there is none."""

    def tried(folder: Path) -> Plain:
        try:
            return write(folder)
        except Exception as error:  # whatever is wrong with the card, the ruling stands
            return {NO_CARD: _why(error)}

    return _placed(job, FIRST, job.step(FIRST, tried))


def carded_again(job: Job, write: Write, ended: Plain) -> Plain:
    """How the retraining ``ended``; a card that could not be written is tried again, now that all is told."""
    if NO_CARD not in ended:
        return ended
    try:
        found = job.step(AGAIN, write)
    except Exception as error:  # the step is not done, and the next call tries it
        return {**ended, NO_CARD: _why(error)}
    return {**ended, **_placed(job, AGAIN, found)}


def _placed(job: Job, step: str, found: Plain) -> Plain:
    return {CARD: str(job.place(step) / found[CARD])} if CARD in found else found


def _why(error: Exception) -> str:
    return safe_line(error if isinstance(error, SafeguardError) else f"{type(error).__name__}: {error}")
