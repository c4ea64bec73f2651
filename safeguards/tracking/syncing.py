"""What spools still hold, sent: `safeguards sync`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeguards.core.errors import ConfigurationError
from safeguards.core.process import is_gone
from safeguards.core.redact import MARK, known_secrets, redact, safe_line
from safeguards.tracking.delivery import NEWS, Delivery
from safeguards.tracking.spool import LINES, Entry, Progress, read
from safeguards.tracking.store import quiet, resolve, said, set_defaults

__all__ = ["Synced", "left_below", "may_be_looked_into", "spools_below", "sync", "unreadable"]

JOB = {"id": str, "uri": str, "experiment": str, "began": int, "tags": dict, "host": str, "pid": int}


@dataclass(frozen=True, kw_only=True)
class Synced:
    """How one spool stands after an attempt. ``left`` says why something of it waits; None when the run has it all.

    ``open`` says that its process may still add to it; ``notes`` tell of lines that could not be read.
    """

    folder: Path
    sent: int = 0
    left: str | None = None
    open: bool = False
    notes: tuple[str, ...] = ()


def may_be_looked_into(folder: Path) -> bool:
    """Whether it is there, and whoever runs this may list it and reach what it holds."""
    return os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)


def unreadable(error: OSError) -> str:
    """What could not be read, why, and what to do; any name of a folder can be printed so."""
    why = (error.strerror or type(error).__name__).lower()
    told = f"{error.filename} cannot be read ({why}); run this as its owner, or move it away if it is no spool"
    return safe_line(told)


def spools_below(place: Path, on_error: Callable[[OSError], object] = lambda _: None) -> list[Path]:
    """The folders of spools in ``place`` and below it; of links only ``place`` is followed.

    ``on_error`` is told of each folder that cannot be read.
    """
    found = []
    for folder, below, files in os.walk(place.resolve() if place.is_symlink() else place, onerror=_but_gone(on_error)):
        if LINES in files:
            found.append(Path(folder))
            below.clear()
    return sorted(found)


def left_below(place: Path, on_error: Callable[[OSError], object] = lambda _: None) -> list[Path]:
    """Those of `spools_below` whose job is gone from this machine and whose run lacks something; nothing is sent.

    A job that was killed told nobody but its spool. ``on_error`` is told of each that cannot be read, too.
    """
    left = []
    for folder in spools_below(place, on_error):
        try:
            left += [folder] if _is_left(folder) else []
        except OSError as error:
            _but_gone(on_error)(error)
    return left


def _but_gone(on_error: Callable[[OSError], object]) -> Callable[[OSError], None]:
    """Jobs are at work meanwhile: what was there a moment ago needs no word."""

    def told(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            on_error(error)

    return told


def _is_left(folder: Path) -> bool:
    """Raises ``OSError``."""
    if _has_arrived(folder, (folder / LINES).stat().st_size):
        return False
    entries = list(read(folder))
    if _has_arrived(folder, entries[-1].end if entries else 0) or not any(entry.kind in NEWS for entry in entries):
        return False
    try:
        _job(entries)
    except ValueError:
        return False
    return is_gone(_last_process(entries))


def _has_arrived(folder: Path, end: int | None) -> bool:
    """Whether the store has all of a spool whose lines ``end`` here."""
    known = Progress.of(folder)
    return known.complete and known.values == known.artifacts == (end or 0)


def sync(folder: Path, *, tracking_uri: str | None = None) -> Synced:
    """Send what the run of this spool lacks. Again, or at the same time as another, it does no harm.

    ``tracking_uri`` stands in for an address that held a password, which no spool keeps; the default is
    ``MLFLOW_TRACKING_URI``.
    """
    try:
        entries = list(read(folder))
        job = _job(entries)
    except (OSError, ValueError) as error:
        return Synced(folder=folder, left=unreadable(error) if isinstance(error, OSError) else str(error))
    gone, notes = is_gone(_last_process(entries)), _notes(folder, entries)
    if _has_arrived(folder, entries[-1].end):
        return Synced(folder=folder, notes=notes)
    set_defaults()
    try:
        delivery = Delivery(folder, job, _address(job, tracking_uri), gone=gone)
        waiting = sum(delivery.waiting())
        with quiet():
            delivery.send()
    except Exception as error:
        return Synced(folder=folder, left=said(error), notes=notes)
    known = delivery.progress
    if known.lost:
        return Synced(folder=folder, sent=waiting, left=f"{known.lost} artifacts are lost", notes=notes)
    return Synced(folder=folder, sent=waiting, open=not known.complete, notes=notes)


def _job(entries: list[Entry]) -> dict[str, Any]:
    first = next(iter(entries), None)
    job = dict(first.data) if first is not None and first.kind == "job" else {}
    wrong = [name for name, kind in JOB.items() if not isinstance(job.get(name), kind)]
    if wrong:
        raise ValueError(f"no spool: its first line lacks {', '.join(wrong)}")
    return {"artifact_location": None, "name": None, "run": None, "started": None, **job}


def _last_process(entries: list[Entry]) -> Mapping[str, Any]:
    """The one that appended last: a job may go on in a process that it started."""
    return next(entry.data for entry in reversed(entries) if entry.kind in ("process", "job"))


def _notes(folder: Path, entries: list[Entry]) -> tuple[str, ...]:
    damaged = sum(entry.kind == "damaged" for entry in entries)
    torn = (folder / LINES).stat().st_size - (entries[-1].end or 0)
    notes = [f"{damaged} lines could not be read and are skipped"] if damaged else []
    return (*notes, f"the last line is torn after {torn} bytes and is skipped") if torn else tuple(notes)


def _address(job: Mapping[str, Any], given: str | None) -> str:
    """The address of the job. One that held a secret has to be given again, and must be the same but for the secret."""
    kept = str(job["uri"])
    if MARK not in kept:
        return kept
    asked = resolve(given)
    if redact(asked, known_secrets(os.environ)) != kept:
        raise ConfigurationError(f"{kept} is kept without its password; MLFLOW_TRACKING_URI has to name it in full")
    return asked
