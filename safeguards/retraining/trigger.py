"""When a regular check of a live model opens a retraining: k alarms of the last n audits, and none again for a while.

The state is an append-only file of one JSON line per audit. Audits are counted, never timed: a clock that is wrong, or
set back, changes nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safeguards.core.errors import ConfigurationError, LedgerError

__all__ = ["Audit", "Trigger", "append_audit", "audits"]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One line of the file: which data were looked at, by which model, whether it alarmed, whether it opened."""

    data: str
    model: str
    alarm: bool
    opened: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """``k`` alarms among the last ``n`` audits of the same model, and none opened among its last ``cooldown``."""

    k: int = 2
    n: int = 3
    cooldown: int = 3

    def __post_init__(self) -> None:
        whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (self.k, self.n, self.cooldown))
        if not (whole and 1 <= self.k <= self.n and self.cooldown >= 0):
            raise ConfigurationError(f"{self}: expected whole numbers with 1 <= k <= n and cooldown >= 0")

    def opens(self, past: Sequence[Audit], *, model: str, alarm: bool) -> bool:
        """Whether the audit that comes after ``past`` opens a retraining. What was said of another model is past."""
        own = [audit for audit in past if audit.model == model]
        if self.cooldown and any(audit.opened for audit in own[-self.cooldown :]):
            return False
        alarms = [*(audit.alarm for audit in own), alarm][-self.n :]
        return alarm and sum(alarms) >= self.k


def append_audit(path: Path, audit: Audit) -> None:
    """Write and sync one line; a torn one, left by a crash, is closed first. Raises `LedgerError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            line = json.dumps(asdict(audit), sort_keys=True).encode() + b"\n"
            file.write((b"\n" if _is_torn(path) else b"") + line)
            os.fsync(file.fileno())
    except OSError as error:
        raise LedgerError(f"cannot write the audits {path}: {error.strerror or error}") from error


def audits(path: Path) -> list[Audit]:
    """The audits so far, oldest first, one for each delivery and model; a torn line is passed over.

    Raises `LedgerError` for a whole line that is no audit: what was not understood must not be taken for calm.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    found: dict[tuple[str, str], Audit] = {}
    for number, line in enumerate(lines, start=1):
        try:
            audit = _audit(line) if line.strip() else None
        except ValueError:
            continue  # torn: no JSON, so the crash came before the line was whole
        except (KeyError, TypeError) as error:
            raise LedgerError(f"{path}:{number} is no audit ({type(error).__name__}); move the file away") from error
        if audit is not None:
            found.setdefault((audit.data, audit.model), audit)
    return list(found.values())


def _audit(line: bytes) -> Audit:
    data = json.loads(line)
    flags = {name: data[name] for name in ("alarm", "opened")}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise TypeError("flags")
    return Audit(data=str(data["data"]), model=str(data["model"]), reasons=tuple(map(str, data["reasons"])), **flags)


def _is_torn(path: Path) -> bool:
    size = path.stat().st_size
    if not size:
        return False
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) != b"\n"
