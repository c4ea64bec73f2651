"""What the live audits of a model said, and which retraining that they opened has been answered.

An append-only file of one JSON line each, written by one call and synced, so that neither kill -9 nor a retraining that
writes at the same time costs more than the line that was being written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safeguards.core.errors import LedgerError
from safeguards.core.files import sync
from safeguards.retraining.trigger import Audit, Trigger

__all__ = ["AuditBook"]

Asked = tuple[str, str]
"""A delivery and a model: what makes an audit that audit."""


@dataclass(frozen=True)
class AuditBook:
    """The file at ``path``; one that is not there is an empty one."""

    path: Path

    def past(self) -> list[Audit]:
        """The audits so far, oldest first, one for each delivery and model.

        Raises `LedgerError` for a whole line that is neither an audit nor an answer: what was not understood must not
        be taken for calm.
        """
        return self._read()[0]

    def note(self, *, data: str, model: str, reasons: tuple[str, ...], trigger: Trigger) -> Audit:
        """Write that the model was held against these data, alarming where there are ``reasons``, and whether that
        opens a retraining. The same data and model again are the audit that was written first.

        `only_one` keeps two live audits of a model apart. Raises `LedgerError`.
        """
        past = self.past()
        known = next((audit for audit in past if (audit.data, audit.model) == (data, model)), None)
        if known is not None:
            return known
        opened = trigger.opens(past, model=model, alarm=bool(reasons))
        audit = Audit(data=data, model=model, alarm=bool(reasons), opened=opened, reasons=reasons)
        self._append(asdict(audit))
        return audit

    def opened(self, data: str) -> Audit | None:
        """The newest audit that opened a retraining, unless that was answered on other data than these."""
        past, answered = self._read()
        newest = next((audit for audit in reversed(past) if audit.opened), None)
        if newest is None or answered.get((newest.data, newest.model), data) != data:
            return None
        return newest

    def answer(self, audit: Audit, *, data: str) -> None:
        """A retraining that this audit opened has run to its end, on these data. Again is harmless."""
        if self._read()[1].get((audit.data, audit.model)) is None:
            self._append({"answers": [audit.data, audit.model], "data": data})

    def _append(self, line: Mapping[str, Any]) -> None:
        """A torn line, left by a crash, is closed first."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+", buffering=0) as file:
                file.write((b"\n" if _is_torn(self.path) else b"") + json.dumps(line, sort_keys=True).encode() + b"\n")
                os.fsync(file.fileno())
            sync(self.path.parent)
        except OSError as error:
            raise LedgerError(f"cannot write the live audits {self.path}: {error.strerror or error}") from error

    def _read(self) -> tuple[list[Audit], dict[Asked, str]]:
        audits: dict[Asked, Audit] = {}
        answers: dict[Asked, str] = {}
        for number, line in self._lines():
            try:
                if "answers" in line:
                    data, model = map(str, line["answers"])
                    answers.setdefault((data, model), str(line["data"]))
                else:
                    audit = _audit(line)
                    audits.setdefault((audit.data, audit.model), audit)
            except (KeyError, TypeError, ValueError) as error:
                kind = type(error).__name__
                raise LedgerError(f"{self.path}:{number} is no live audit ({kind}); move the file away") from error
        return list(audits.values()), answers

    def _lines(self) -> Iterator[tuple[int, Any]]:
        """Whole lines; one that is no JSON is torn: the crash came before it was written."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise LedgerError(f"cannot read the live audits {self.path}: {error.strerror or error}") from error
        for number, line in enumerate(lines, start=1):
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                continue


def _audit(line: Mapping[str, Any]) -> Audit:
    flags = {name: line[name] for name in ("alarm", "opened")}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise TypeError("flags")
    return Audit(data=str(line["data"]), model=str(line["model"]), reasons=tuple(map(str, line["reasons"])), **flags)


def _is_torn(path: Path) -> bool:
    size = path.stat().st_size
    if not size:
        return False
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) != b"\n"
