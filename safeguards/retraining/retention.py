"""How much retrainings leave on disk: whatever a champion, an unfinished job or an unsent run needs stays."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from safeguards.core.errors import AlreadyRunning, ConfigurationError, EvidenceError
from safeguards.core.files import sync
from safeguards.gate import Candidate, History, Record
from safeguards.retraining.job import only_one
from safeguards.retraining.shelf import DATA_LOCK, DELIVERY, JOB
from safeguards.tracking.standing import is_unsent

if TYPE_CHECKING:
    from safeguards.retraining.shelf import Shelf
    from safeguards.tracking import ModelRegistry

__all__ = ["prune"]

FINGERPRINT = re.compile(r"[0-9a-f]{64}")
GONE = ".gone"
BEGUN, TOLD = "01-meet", "[0-9][0-9]-tell"
"""The first step of a retraining, and the one after which nothing of it is to be done."""
SEALED = "[0-9][0-9]-seal/record.json"


def prune(shelf: Shelf, registry: ModelRegistry, *, keep: int, but: Path) -> list[str]:
    """Remove deliveries but the newest ``keep``, and retrainings that came to their end but the newest ``keep``.

    Stays: the data that any champion of the history learned from, for the next comparison and for a rollback, or the
    challenger of a job that stays, which somebody may promote; jobs that are not at their end, or of whose runs, those
    of a search among them, the tracking store lacks something; and ``but``, the job at work. The lock of the retraining
    is the caller's; while a live audit is at work nothing is removed. Killed anywhere, each is whole or gone. Returns
    the names of what was removed.

    Raises `ConfigurationError` for less than 1; `RegistryError` and `EvidenceError` where it cannot be told what a
    champion learned from, upon which nothing is removed.
    """
    if keep < 1:
        raise ConfigurationError(f"keep: {keep!r}: expected 1 or more retrainings, or null for all")
    try:
        with only_one(shelf.folder, f"live audit of {shelf.model}"), FileLock(shelf.folder / DATA_LOCK):
            jobs = _newest_first(shelf.folder / "jobs", JOB)
            done = [one for one in jobs if one != but and _is_done(one)][keep:]
            learned = {*_learned_from(registry), *_sealed_in(one for one in jobs if one not in done)}
            data = _newest_first(shelf.folder / "data", FINGERPRINT)
            old = [*done, *(one for one in data[keep:] if one.name not in learned)]
            return list(_removed(old, shelf.folder))
    except AlreadyRunning:
        return []


def _learned_from(registry: ModelRegistry) -> Iterator[str]:
    """The deliveries of all that were ever champion."""
    history = History.sound(registry)
    for record in {entry.record for entry in history.entries if entry.version in history.champions}:
        yield Candidate.fetch_record(registry, record).data.get(DELIVERY, "")


def _sealed_in(jobs: Iterable[Path]) -> Iterator[str]:
    """The deliveries of their challengers; a record that cannot be read is no candidate."""
    for record in (found for one in jobs for found in one.glob(SEALED)):
        with suppress(EvidenceError):
            yield Record.read(record).data.get(DELIVERY, "")


def _newest_first(folder: Path, named: re.Pattern[str]) -> list[Path]:
    """Data by when they were last taken, jobs by when a step of them was last done."""
    found = [one for one in folder.glob("*") if named.fullmatch(one.name) and one.is_dir()]
    return sorted(found, key=lambda one: one.stat().st_mtime, reverse=True)


def _is_done(job: Path) -> bool:
    return (job / BEGUN).is_dir() and any(job.glob(TOLD)) and not is_unsent(job)


def _removed(old: Sequence[Path], folder: Path) -> Iterator[str]:
    """One rename takes each away; what a kill left of earlier ones goes too."""
    for one in old:
        one.rename(one.with_name(f"{one.name}{GONE}"))
        sync(one.parent)
        yield one.name
    for left in [*folder.glob(f"jobs/*{GONE}"), *folder.glob(f"data/*{GONE}")]:
        shutil.rmtree(left, ignore_errors=True)
