"""What the live audits of a model said, and which retraining that they opened has been answered.

An append-only file of one JSON line each, written by one call and synced, so that neither kill -9 nor a retraining that
writes at the same time costs more than the line that was being written. That line is marked when the next one is
written: any other that cannot be read was damaged later, and is told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safeguards.core.errors import LedgerError
from safeguards.core.files import sync
from safeguards.retraining.trigger import Audit, Trigger

__all__ = ["AuditBook"]

TORN = b" (torn)"
"""Ends a line whose writing a crash cut short; no line of JSON ends so."""

Asked = tuple[str, str]
"""A delivery and a model: what counts once, however often and under whatever settings it is audited."""


@dataclass(frozen=True)
class AuditBook:
    """The file at ``path``; one that is not there is an empty one."""

    path: Path

    def past(self) -> list[Audit]:
        """The audits so far, oldest first, one for each delivery and model: as it was looked at last.

        Raises `LedgerError` for a whole line that is neither an audit nor an answer: what was not understood must not
        be taken for calm.
        """
        return _latest(self._read()[0])

    def note(self, *, data: str, model: str, reasons: tuple[str, ...], trigger: Trigger, job: str = "") -> Audit:
        """Write that the model was held against these data, alarming where there are ``reasons``, and whether that
        opens a retraining, which a delivery does once. The same ``job`` again is the audit that was written first.

        `only_one` keeps two live audits of a model apart. Raises `LedgerError`.
        """
        looks = self._read()[0]
        same = [audit for audit in looks if (audit.data, audit.model) == (data, model)]
        known = next((audit for audit in same if audit.job == job), None)
        if known is not None:
            return known
        others = [audit for audit in _latest(looks) if (audit.data, audit.model) != (data, model)]
        once = not any(audit.opened for audit in same)
        opened = once and trigger.opens(others, model=model, alarm=bool(reasons))
        audit = Audit(data=data, model=model, alarm=bool(reasons), opened=opened, reasons=reasons, job=job)
        self._append(asdict(audit))
        return audit

    def opened(self, data: str) -> Audit | None:
        """The newest audit that opened a retraining, unless that was answered on other data than these."""
        past, answered = self._read()  # what was opened stays so, whatever a later look said
        newest = next((audit for audit in reversed(past) if audit.opened), None)
        if newest is None or answered.get((newest.data, newest.model), data) != data:
            return None
        return newest

    def answer(self, audit: Audit, *, data: str) -> None:
        """A retraining that this audit opened has run to its end, on these data. Again is harmless."""
        if self._read()[1].get((audit.data, audit.model)) is None:
            self._append({"answers": [audit.data, audit.model], "data": data})

    def done_with(self, keep: int) -> list[str]:
        """The jobs of audits that nothing asks for any more: neither among the newest ``keep`` looks, nor of one that
        opened a retraining which has not been answered.
        """
        looks, answered = self._read()
        waits = {audit.job for audit in looks if audit.opened and (audit.data, audit.model) not in answered}
        kept = waits | {audit.job for audit in looks[max(0, len(looks) - keep) :]}
        return sorted({audit.job for audit in looks if audit.job} - kept)

    def _append(self, line: Mapping[str, Any]) -> None:
        """A torn line, left by a crash, is marked and closed first."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+", buffering=0) as file:
                file.write(_closing(self.path) + json.dumps(line, sort_keys=True).encode() + b"\n")
                os.fsync(file.fileno())
            sync(self.path.parent)
        except OSError as error:
            raise LedgerError(f"cannot write the live audits {self.path}: {error.strerror or error}") from error

    def _read(self) -> tuple[list[Audit], dict[Asked, str]]:
        audits: list[Audit] = []
        answers: dict[Asked, str] = {}
        for number, line in self._lines():
            try:
                if "answers" in line:
                    data, model = map(str, line["answers"])
                    answers.setdefault((data, model), str(line["data"]))
                else:
                    audits.append(_audit(line))
            except (KeyError, TypeError, ValueError) as error:
                raise _no_audit(self.path, number, type(error).__name__) from error
        return audits, answers

    def _lines(self) -> Iterator[tuple[int, Any]]:
        """What was written whole; the last line may be torn, and one that is marked was."""
        try:
            *lines, last = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise LedgerError(f"cannot read the live audits {self.path}: {error.strerror or error}") from error
        for number, line in enumerate(lines, start=1):
            if not line.endswith(TORN):
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise _no_audit(self.path, number, "damaged") from error
        if _is_whole(last):
            yield len(lines) + 1, json.loads(last)


def _latest(looks: list[Audit]) -> list[Audit]:
    """Of each delivery and model the newest, in the place of the first; opened where any of them opened."""
    found: dict[Asked, Audit] = {}
    for audit in looks:
        before = found.get((audit.data, audit.model))
        opened = audit.opened or (before is not None and before.opened)
        found[audit.data, audit.model] = replace(audit, opened=opened)
    return list(found.values())


def _no_audit(path: Path, number: int, why: str) -> LedgerError:
    return LedgerError(f"{path}:{number} is no live audit ({why}); mend the line, or move the file away")


def _audit(line: Mapping[str, Any]) -> Audit:
    flags = {name: line[name] for name in ("alarm", "opened")}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise TypeError("flags")
    reasons, job = tuple(map(str, line["reasons"])), str(line.get("job", ""))
    return Audit(data=str(line["data"]), model=str(line["model"]), reasons=reasons, job=job, **flags)


def _closing(path: Path) -> bytes:
    """What the last line lacks: nothing, its newline, or all that was to come."""
    last = path.read_bytes().rpartition(b"\n")[2]
    if not last:
        return b""
    return b"\n" if _is_whole(last) else TORN + b"\n"


def _is_whole(last: bytes) -> bool:
    """Whether a line without a newline lacks nothing else: no beginning of an object is JSON."""
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        return False
    return True
