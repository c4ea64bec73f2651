"""The spool: what is on its way to the tracking store, frozen on disk before the first attempt to send it.

A folder with one file of JSON lines that only grows, a folder of copies of artifacts, and how far the sending has come.
A line is whole once it ends: a torn one is of a process that died, and is skipped.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safeguards.core.canonical import LARGEST_WHOLE, parse
from safeguards.core.errors import EvidenceError
from safeguards.core.files import open_plain, read_whole
from safeguards.core.process import this_process
from safeguards.tracking.entities import Parameter, Point, Tag
from safeguards.tracking.store import said

__all__ = ["LINES", "Entry", "Progress", "Spool", "entities_of", "entry_of", "read"]

log = logging.getLogger(__name__)

LINES, ARTIFACTS, PROGRESS = "lines.jsonl", "artifacts", "progress.json"
LARGEST_PROGRESS = 1 << 16
KINDS = {"points": Point, "parameters": Parameter, "tags": Tag}
CAPACITY = 100_000
"""Lines that are kept in memory while the disk takes none; about 50 MB."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line. ``end`` is where the next one begins; None for a line that the disk did not take."""

    kind: str
    data: Mapping[str, Any]
    end: int | None


@dataclass(kw_only=True)
class Progress:
    """How far the sending has come, in bytes of the lines: a crash in between sends again what is the same again."""

    run: str | None = None
    owned: bool = True
    values: int = 0
    artifacts: int = 0
    ended: bool = True
    complete: bool = False
    lost: int = 0
    repeated: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Progress:
        """As it was kept last; the beginning where nothing was kept or is to be read."""
        try:
            found = cls(**parse(read_whole(folder / PROGRESS, at_most=LARGEST_PROGRESS), what=PROGRESS))
        except (EvidenceError, TypeError):
            return cls()
        counts = found.values, found.artifacts, found.lost
        return found if all(type(one) is int and 0 <= one <= LARGEST_WHOLE for one in counts) else cls()

    def keep(self, folder: Path) -> None:
        """Whole or not at all. On a disk that is full it is known to this process only."""
        beside = folder / f".{PROGRESS}.{os.getpid()}"
        with suppress(OSError):
            beside.write_text(json.dumps(asdict(self)))
            os.replace(beside, folder / PROGRESS)


class Spool:
    """Appends. ``job`` is the first line: whose spool it is, and which run it becomes."""

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        self.folder, self.job = folder, job
        self.lost = 0
        self._guard = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._file: int | None = None
        self._complained = False

    def append(self, kind: str, **data: Any) -> None:
        """Hand a line to the disk; memory keeps what it does not take. Never waits for the store, and never raises."""
        line = json.dumps({"kind": kind, **data}).encode() + b"\n"
        with self._guard:
            if len(self._waiting) == CAPACITY:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(line)
            try:
                self._write()
            except OSError as error:
                self._complain(error)

    def put(self, entities: Sequence[Point | Parameter | Tag]) -> None:
        """A line for what is logged together."""
        values = {kind: [_plain(one) for one in entities if isinstance(one, of)] for kind, of in KINDS.items()}
        self.append("values", **{kind: found for kind, found in values.items() if found})

    def freeze(self, fill: Callable[[Path], object], to: str) -> None:
        """Keep a copy of artifacts for the folder ``to`` of the run: whole on disk before its line is. Raises OSError.

        ``fill`` makes the copy in the folder that it is given.
        """
        place = self.folder / ARTIFACTS
        place.mkdir(parents=True, exist_ok=True)
        whole = place / f"{len(os.listdir(place)):06d}-{os.urandom(3).hex()}"
        unfinished = whole.with_suffix(".part")
        try:
            unfinished.mkdir()
            fill(unfinished)
            unfinished.rename(whole)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        self.append("artifacts", copy=whole.name, to=to)

    def unwritten(self) -> list[bytes]:
        """The lines that the disk did not take."""
        with self._guard:
            return list(self._waiting)

    def forget(self, sent: Sequence[bytes]) -> None:
        """Those have reached the store."""
        done = {id(line) for line in sent}
        with self._guard:
            self._waiting = deque(line for line in self._waiting if id(line) not in done)

    def sync(self) -> None:
        """What was appended outlives a power cut from here on."""
        file = self._file
        if file is not None:
            with suppress(OSError):
                os.fsync(file)

    def _write(self) -> None:
        if self._file is None:
            self._file = self._opened()
        while self._waiting:
            _write_whole(self._file, self._waiting[0])
            self._waiting.popleft()
        self._complained = False

    def _opened(self) -> int:
        """Another process may have written to it before, and died amid a line."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self.folder / LINES, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            size = os.fstat(file).st_size
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            begins = {"kind": "process", **this_process()} if size else {"kind": "job", **self.job, **this_process()}
            _write_whole(file, b"\n" * torn + json.dumps(begins).encode() + b"\n")
        except OSError:
            os.close(file)
            raise
        return file

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.warning("the spool %s takes no more, what follows is sent from memory: %s", self.folder, said(error))
        self._complained = True


def _write_whole(file: int, content: bytes) -> None:
    """A disk that is full takes a part: that is taken back."""
    before, left = os.fstat(file).st_size, memoryview(content)
    try:
        while left:
            left = left[os.write(file, left) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, before)
        raise


def read(folder: Path, start: int = 0) -> Iterator[Entry]:
    """The whole lines from byte ``start`` on; one that is no entry has the kind "damaged". Raises ``OSError``."""
    try:
        file = open_plain(folder / LINES)
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield entry_of(line, start)


def entry_of(line: bytes, end: int | None) -> Entry:
    """One line; of the kind "damaged" where it is no entry."""
    try:
        data = json.loads(line)
        return Entry(kind=str(data.pop("kind")), data=data, end=end)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Entry(kind="damaged", data={}, end=end)


def entities_of(entry: Entry) -> list[Point | Parameter | Tag]:
    """What a line of values holds. Raises ``ValueError``, ``TypeError`` or ``KeyError`` where it is none of ours."""
    made: list[Point | Parameter | Tag] = [
        Point(str(k), _finite(float(v)), int(t), None if s is None else int(s))
        for k, v, t, s in entry.data.get("points", ())
    ]
    made += [Parameter(str(k), str(v)) for k, v in entry.data.get("parameters", ())]
    made += [Tag(str(k), str(v)) for k, v in entry.data.get("tags", ())]
    return made


def _plain(one: Point | Parameter | Tag) -> Sequence[Any]:
    """JSON has no NaN: it is a word."""
    return tuple("nan" if part != part else part for part in one)


def _finite(value: float) -> float:
    if math.isinf(value):
        raise ValueError("no point is infinite")
    return value
