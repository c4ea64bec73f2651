"""Files that others may have touched: read within bounds, named plainly, written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from safeguards.core.canonical import digest_of
from safeguards.core.errors import ConfigurationError, EvidenceError
from safeguards.core.redact import safe_line

__all__ = [
    "digest_of_file",
    "digest_of_tree",
    "files_below",
    "is_plain_name",
    "local_root",
    "open_plain",
    "pieces_of",
    "read_whole",
    "sync",
    "write_whole",
]

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
PIECE = 1 << 20
SOURCES = (".py",)


def is_plain_name(name: object) -> bool:
    """Whether it can only be a file of its own folder: letters, digits, ``_``, ``-`` and dots, none of them first."""
    return isinstance(name, str) and PLAIN.fullmatch(name) is not None


def local_root(default_root_dir: str | os.PathLike[str]) -> Path:
    """A trainer's ``default_root_dir``, where it is a folder. Raises `ConfigurationError` for an address.

    As a path ``s3://bucket`` would be a folder of that name in the working directory.
    """
    told = os.fspath(default_root_dir)
    if ADDRESS.match(told):
        raise ConfigurationError(
            f"Trainer(default_root_dir={safe_line(told)!r}): verdicts are written beside the training, to a local "
            "folder: give one here, and the address to ModelCheckpoint(dirpath=...)"
        )
    return Path(told)


def read_whole(path: Path, *, at_most: int) -> bytes:
    """The bytes of an ordinary file of ``at_most`` bytes. Raises `EvidenceError`; links are not followed."""
    try:
        with open_plain(path) as file:
            content = file.read(at_most + 1)
    except OSError as error:
        raise EvidenceError(f"cannot read {path}: {error.strerror or error}") from None
    if len(content) > at_most:
        raise EvidenceError(f"{path} is larger than the {at_most:,} bytes that are read of such a file")
    return content


def digest_of_file(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of an ordinary file. Raises `EvidenceError`; links are not followed."""
    found, size = hashlib.sha256(), 0
    try:
        for piece in pieces_of(path):
            found.update(piece)
            size += len(piece)
    except OSError as error:
        raise EvidenceError(f"cannot read {path}: {error.strerror or error}") from None
    return size, found.hexdigest()


def pieces_of(path: Path) -> Iterator[bytes]:
    """An ordinary file, piece by piece. Raises ``OSError``; links are not followed."""
    with open_plain(path) as file:
        while piece := file.read(PIECE):
            yield piece


def digest_of_tree(*places: Path, suffixes: Iterable[str] = SOURCES) -> str:
    """One SHA-256 over the files of these suffixes in folders, or over files; names below each place count too.

    Raises `EvidenceError` where there is none.
    """
    wanted = tuple(suffixes)
    found: list[list[str]] = []
    for place in places:
        inside = sorted(path for path in place.rglob("*") if path.suffix in wanted and path.is_file())
        for path in inside if place.is_dir() else [place]:
            name = path.relative_to(place).as_posix() if place.is_dir() else path.name
            found.append([name, digest_of_file(path.resolve())[1]])
    if not found:
        raise EvidenceError(f"no file of {', '.join(wanted)} in {', '.join(map(str, places)) or 'no folder'}")
    return digest_of(found)


def write_whole(path: Path, content: bytes) -> None:
    """Write beside, sync, rename: a crash leaves the earlier file or the new one. Raises ``OSError``."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    with suppress(OSError):  # the new name itself must outlive a power cut; some file systems cannot sync a folder
        sync(path.parent)


def sync(path: Path) -> None:
    """What was written to a file, or renamed in a folder, outlives a power cut from here on. Raises ``OSError``."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def files_below(folder: Path) -> Iterator[Path]:
    """Every ordinary file, sorted by its path. Links are passed over: they may lead anywhere on this machine."""
    waiting = sorted(folder.iterdir(), reverse=True)
    while waiting:
        path = waiting.pop()
        if path.is_symlink():
            continue
        if path.is_dir():
            waiting += sorted(path.iterdir(), reverse=True)
        elif path.is_file():
            yield path


def open_plain(path: Path) -> BinaryIO:
    """For reading: not a link, and never a pipe that would let its reader wait. Raises ``OSError``."""
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return os.fdopen(opened, "rb")
