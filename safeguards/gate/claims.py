"""What tells a challenger that cannot be read from another."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path

from safeguards.core.canonical import digest_of
from safeguards.core.errors import EvidenceError
from safeguards.core.files import digest_of_file, files_below
from safeguards.gate.candidate import SEALED

__all__ = ["digest_of_claim"]

MOST_FILES = 1000
MOST_BYTES = 1 << 30


def digest_of_claim(folder: Path) -> str:
    """Of what lies where the record should be, else of the whole folder: the same challenger has the same."""
    with suppress(EvidenceError):
        return digest_of_file(folder / SEALED[0])[1]
    found, left = [], MOST_BYTES
    with suppress(OSError):
        for file in islice(files_below(folder), MOST_FILES):
            size = file.stat().st_size
            found.append([file.relative_to(folder).as_posix(), str(size), _digest(file) if size <= left else ""])
            left -= min(size, left)
    return digest_of(found)


def _digest(file: Path) -> str:
    try:
        return digest_of_file(file)[1]
    except EvidenceError:
        return ""
