"""Taking a delivery of data: the files that a manifest, written last, names, each exactly as it says.

A half-written CSV reads like a shorter one, so that nothing about the file itself tells. The producer therefore writes
`MANIFEST` when all files are whole; what has none, or differs from it in size, digest or rows, is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safeguards.core.canonical import digest_of
from safeguards.core.errors import ConfigurationError, DataRefused, EvidenceError
from safeguards.core.files import digest_of_file, pieces_of, read_whole, sync, write_whole
from safeguards.drift import READABLE, read_file

__all__ = ["MANIFEST", "Delivery", "Entry", "Manifest", "deliver", "take"]

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 1 << 20  # bytes: several thousand files
DIGITS = frozenset(string.hexdigits.lower())
SHA256_LENGTH = 64
WRITE_ANEW = "write it anew by deliver(folder) when the files are whole"
TAKE_ANEW = "put back what was delivered, or remove that folder and deliver it again"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file: its plain name, size in bytes, number of rows and SHA-256."""

    name: str
    size: int
    rows: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The files of a delivery, sorted by name."""

    files: tuple[Entry, ...]

    @property
    def rows(self) -> int:
        """Of all files together."""
        return sum(entry.rows for entry in self.files)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all that the manifest says; the same data under the same names have the same, at any time."""
        return digest_of(self._plain())

    def _plain(self) -> dict[str, Any]:
        return {"files": [asdict(entry) for entry in self.files]}

    def write(self, folder: Path) -> None:
        """Into ``folder``, whole or not at all."""
        write_whole(folder / MANIFEST, json.dumps(self._plain(), indent=1).encode() + b"\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises `DataRefused` where there is none, or it is torn, empty, or names what cannot be a file of it."""
        path = folder / MANIFEST
        if not os.path.lexists(path):
            raise DataRefused(f"{folder}: there is no {MANIFEST}; it is written last, so the delivery is not whole")
        try:
            data = json.loads(read_whole(path, at_most=LARGEST_MANIFEST))
        except EvidenceError as error:
            raise DataRefused(f"{error}; the delivery is not whole") from None
        except (ValueError, RecursionError) as error:
            raise DataRefused(f"{path}: cannot be read ({type(error).__name__}); the delivery is not whole") from error
        return cls(files=_entries(data, path))


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A delivery whose every byte was checked, in a folder of our own."""

    folder: Path
    manifest: Manifest

    @property
    def paths(self) -> tuple[Path, ...]:
        """The data files, sorted by name."""
        return tuple(self.folder / entry.name for entry in self.manifest.files)


def deliver(folder: Path, names: Sequence[str] | None = None) -> Manifest:
    """The producer's last step: write the manifest of the files ``names`` (default: every Parquet and CSV file there).

    Raises `DataRefused` when there is none, or one of them has no rows or cannot be read to its end.
    """
    found = sorted(names if names is not None else (path.name for path in _readable(folder)))
    if not found:
        raise DataRefused(f"{folder}: there is no {', '.join(READABLE)} file to deliver")
    manifest = Manifest(files=tuple(_described(folder / _plain_name(name, folder)) for name in found))
    manifest.write(folder)
    return manifest


def take(source: Path, into: Path) -> Delivery:
    """Copy a delivery into the new folder ``into``, checking every byte and row; what follows reads the copy.

    Raises `DataRefused` in one line that names the file and what is wrong with it, and ``OSError`` where the copy
    cannot be written: that is no fault of the data.
    """
    manifest = Manifest.read(source)
    _nothing_beside(source, manifest)
    into.mkdir(parents=True, exist_ok=True)
    for entry in manifest.files:
        _copy(source / entry.name, into / entry.name, entry)
        rows = _rows(into / entry.name)
        if rows != entry.rows:
            raise DataRefused(f"{source / entry.name}: {rows} rows where {MANIFEST} says {entry.rows}; {WRITE_ANEW}")
    manifest.write(into)
    return Delivery(folder=into, manifest=manifest)


def taken(folder: Path) -> Delivery:
    """A delivery that was taken before. Raises `DataRefused` when it has changed since."""
    manifest = Manifest.read(folder)
    for entry in manifest.files:
        path = folder / entry.name
        if _size_and_digest(path) != (entry.size, entry.sha256):
            raise DataRefused(f"{path}: has changed since it was taken; {TAKE_ANEW}")
    return Delivery(folder=folder, manifest=manifest)


def _nothing_beside(source: Path, manifest: Manifest) -> None:
    known = {entry.name for entry in manifest.files}
    beside = [path.name for path in _readable(source) if path.name not in known]
    if beside:
        raise DataRefused(
            f"{source / beside[0]}: {MANIFEST} does not name it; is another delivery being written there?"
        )


def _readable(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(READABLE))
    except OSError as error:
        raise DataRefused(f"{folder}: {error.strerror or error}; name the folder of a delivery") from error


def _copy(source: Path, target: Path, entry: Entry) -> None:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as copy:
        for block in _blocks(source):
            digest.update(block)
            size += len(block)
            if size > entry.size:  # one that somebody still writes to would fill the disk
                break
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    if size != entry.size:
        told = "more" if size > entry.size else size
        raise DataRefused(
            f"{source}: {told} bytes where {MANIFEST} says {entry.size}; it is half-written or was replaced"
        )
    if digest.hexdigest() != entry.sha256:
        raise DataRefused(f"{source}: its digest is not the one in {MANIFEST}; it was changed after it was delivered")
    sync(target.parent)


def _blocks(source: Path) -> Iterator[bytes]:
    """Link by link nothing is followed: a name that leads elsewhere is no file of the delivery."""
    try:
        yield from pieces_of(source)
    except OSError as error:
        raise DataRefused(f"{source}: {error.strerror or error}, and {MANIFEST} names it") from error


def _described(path: Path) -> Entry:
    size, sha256 = _size_and_digest(path)
    return Entry(name=path.name, size=size, rows=_rows(path), sha256=sha256)


def _size_and_digest(path: Path) -> tuple[int, str]:
    try:
        return digest_of_file(path)
    except EvidenceError as error:
        raise DataRefused(str(error)) from None


def _rows(path: Path) -> int:
    try:
        source = read_file(path)
    except ConfigurationError as error:
        raise DataRefused(str(error)) from error
    if source.torn:
        raise DataRefused(source.torn)
    if source.frame.empty:
        raise DataRefused(f"{path.name}: has columns and no rows; write them, or leave the file out")
    return len(source.frame)


def _entries(data: Any, path: Path) -> tuple[Entry, ...]:
    try:
        entries = tuple(sorted((_entry(one, path) for one in data["files"]), key=lambda entry: entry.name))
    except (KeyError, TypeError, ValueError) as error:
        raise DataRefused(f"{path}: is no manifest; each file needs its name, size, rows and sha256") from error
    if not entries:
        raise DataRefused(f"{path}: names no file; {WRITE_ANEW}")
    if len({entry.name for entry in entries}) < len(entries):
        raise DataRefused(f"{path}: names a file twice; {WRITE_ANEW}")
    return entries


def _entry(one: Mapping[str, Any], path: Path) -> Entry:
    name, size, rows, sha256 = (one[key] for key in ("name", "size", "rows", "sha256"))
    counts = all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in (size, rows))
    digest = isinstance(sha256, str) and len(sha256) == SHA256_LENGTH and DIGITS.issuperset(sha256)
    if not (isinstance(name, str) and counts and digest):
        raise ValueError(name)
    return Entry(name=_plain_name(name, path), size=size, rows=rows, sha256=sha256)


def _plain_name(name: str, where: Path) -> str:
    """A name that leads out of the folder, or that nothing here reads, is refused before any file is opened."""
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0") or not name.endswith(READABLE):
        raise DataRefused(f"{where}: {name[:80]!r} is no plain name of a {', '.join(READABLE)} file")
    return name
