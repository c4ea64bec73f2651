"""Folders whose files outlive a power cut, and the digests of all that they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from safeguards.core.files import digest_of_file

__all__ = ["digests", "files_below", "sync"]


def sync(path: Path) -> None:
    """What was written to a file, or renamed in a folder, survives a power cut from here on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder by its path within it."""
    return {path.relative_to(folder).as_posix(): digest_of_file(path)[1] for path in files_below(folder)}


def files_below(folder: Path) -> Iterator[Path]:
    """Every regular file, sorted by its path; links are passed over."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from files_below(path)
        elif path.is_file():
            yield path
