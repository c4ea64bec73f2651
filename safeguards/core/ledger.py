"""The append-only list of verdicts of a run: one JSON line each."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

from safeguards.core.errors import LedgerError
from safeguards.core.verdict import Verdict

__all__ = ["Ledger", "read"]


class Ledger:
    """Appends verdicts to a file. A torn last line, left by a crash, is closed before the first append."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, verdicts: list[Verdict]) -> None:
        """Write and sync, all or nothing. Raises `LedgerError` with the path and the cause."""
        lines = "".join(json.dumps(verdict.to_dict(), allow_nan=False) + "\n" for verdict in verdicts)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                _write_all(file, ("\n" if self._is_torn() else "").encode() + lines.encode())
        except OSError as error:
            raise LedgerError(f"cannot write the ledger {self.path}: {error.strerror or error}") from error

    def _is_torn(self) -> bool:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"


def _write_all(file: FileIO, content: bytes) -> None:
    """A disk that is full takes a part: that is taken back, so that the same lines can be written later."""
    end, left = file.seek(0, os.SEEK_END), memoryview(content)
    try:
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(end)
        raise


def read(path: Path) -> tuple[list[Verdict], list[str]]:
    """The verdicts of a ledger, and one line for each line of it that could not be read.

    Raises `LedgerError` when there is no such file.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise LedgerError(f"cannot read the ledger {path}: {error.strerror or error}") from error
    verdicts: list[Verdict] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            verdicts.append(_consistent(Verdict.from_dict(json.loads(line))))
        except (ValueError, KeyError, OverflowError, TypeError, AttributeError, IndexError, RecursionError) as error:
            problems.append(f"{path}:{number}: skipped, {_why(error, last=number == len(lines))}")
    return verdicts, problems


def _consistent(verdict: Verdict) -> Verdict:
    """A line that lets a model through with a number that does not is no verdict of ours."""
    if verdict.outcome.admits:
        within = verdict.value is not None and math.isfinite(verdict.value)
        within = within and (verdict.limit is None or verdict.limit.margin(verdict.value or 0.0) >= 0)
        if not within:
            raise ValueError(f"{verdict.outcome} with the value {verdict.value}")
    return verdict


def _why(error: Exception, *, last: bool) -> str:
    return "the line is torn" if last else f"not a verdict ({type(error).__name__})"
