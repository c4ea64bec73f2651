"""A job as a chain of steps that survives kill -9 at any point: run again, it goes on where it was and ends the same.

A step works in a folder of its own, ``03-train.part``, and is done when that folder carries its final name,
``03-train``: one rename, which holds the files, their digests and the answer at once. A done step is not done again
while its files are those it left and everything before it is the same; else it and all that follow are done anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from safeguards.core.canonical import canonical, digest_of
from safeguards.core.errors import AlreadyRunning, ConfigurationError, EvidenceError
from safeguards.core.files import digest_of_file, files_below, sync, write_whole
from safeguards.core.names import encode

__all__ = ["Job", "only_one"]

SEAL = "step.json"
PART = ".part"

Plain = Mapping[str, Any]


class Job:
    """The steps of one job in ``folder``; ``key`` are the plain values that make it this job and no other."""

    def __init__(self, folder: Path, *, key: Plain, told: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self._chain = digest_of(dict(key))
        self._count = 0
        self._told = told

    @property
    def key(self) -> str:
        """SHA-256 over the job's key and all that its steps were given and left so far."""
        return self._chain

    def place(self, name: str) -> Path:
        """The folder of a step that is done."""
        return next(iter(self.folder.glob(f"[0-9][0-9]-{name}")))

    def step(self, name: str, work: Callable[[Path], Plain], *, given: Plain | None = None) -> Plain:
        """What ``work(folder)`` answered, plain values, now or in an earlier attempt.

        ``given`` are plain values besides the earlier steps on which the work depends. The work may be begun several
        times, always in an empty folder, and is never begun again once it is done; what it does elsewhere must
        therefore bear being done twice. Whatever it raises goes through, and the step is not done.
        """
        self._count += 1
        place = self.folder / f"{self._count:02}-{name}"
        wanted = digest_of({"after": self._chain, "step": name, "given": given or {}})
        sealed = _sealed(place, wanted)
        if sealed is None:
            self._told(name)
            self._forget_from(self._count)
            sealed = _worked(place, wanted, work)
        self._chain = digest_of(sealed)
        answer: Plain = sealed["answer"]
        return answer

    def _forget_from(self, count: int) -> None:
        """What followed another past is no longer so; the last goes first, so that a crash leaves no gap."""
        if not self.folder.is_dir():
            return
        numbered = [path for path in self.folder.iterdir() if path.name[:2].isdigit() and path.is_dir()]
        for path in sorted((path for path in numbered if int(path.name[:2]) >= count), reverse=True):
            shutil.rmtree(path)


def _worked(place: Path, wanted: str, work: Callable[[Path], Plain]) -> Plain:
    part = place.with_name(place.name + PART)
    part.mkdir(parents=True)
    answer = work(part)
    sealed = {"given": wanted, "answer": answer, "files": _left(part)}
    for path in files_below(part):
        sync(path)
    write_whole(part / SEAL, canonical(sealed))
    part.rename(place)
    sync(place.parent)
    plain: Plain = json.loads(canonical(sealed))  # what the next attempt will read, not what the work had in hand
    return plain


def _sealed(place: Path, wanted: str) -> Plain | None:
    """What a done step left; None when it is not done, was given something else, or its files are not those it left."""
    try:
        sealed: Plain = json.loads((place / SEAL).read_bytes())
        whole = sealed["given"] == wanted and sealed["files"] == _left(place) and "answer" in sealed
    except (OSError, ValueError, KeyError, TypeError, EvidenceError):
        return None
    return sealed if whole else None


def _left(place: Path) -> dict[str, str]:
    """SHA-256 of every file of a step's folder by its path within it, the seal left out."""
    files = (path for path in files_below(place) if path != place / SEAL)
    return {path.relative_to(place).as_posix(): digest_of_file(path)[1] for path in files}


@contextmanager
def only_one(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of ``name``, what is at work, in ``folder``; the system frees it however the process ends.

    Raises `AlreadyRunning` at once when another process of a machine that sees the folder holds it.
    """
    if not name:
        raise ConfigurationError("only_one(name=''): expected what is at work")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{encode(name)}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyRunning(f"another {name} is at work and holds {lock.lock_file}") from None
    try:
        yield
    finally:
        lock.release()
