"""Which process did something, whether it still lives (an id is given to another in time), and why it ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["environment", "is_gone", "is_here", "this_process", "was_told_to_end"]

BY_SIGNAL = (128 + signal.SIGINT, 128 + signal.SIGTERM)
TOLD = ("KeyboardInterrupt", "SIGTERMException")
"""By name: Lightning has two namespaces."""


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables, and put back what was there."""
    before: dict[str, str | None] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def this_process() -> dict[str, Any]:
    """What tells later whether this process still lives: its host, its id and when it started."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_here(process: Mapping[str, Any]) -> bool:
    """Whether it ran on this host."""
    return bool(process.get("host") == socket.gethostname())


def is_gone(process: Mapping[str, Any]) -> bool:
    """Whether it ran on this host and runs no more. Of other hosts, or by an odd record, nobody knows."""
    pid, started = process.get("pid"), process.get("started")
    return is_here(process) and isinstance(pid, int) and isinstance(started, str) and _started(pid) != started


def _started(pid: int) -> str | None:
    """When a process started, in the system's own unit; None when there is none, or no /proc to tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def was_told_to_end(error: BaseException | None) -> bool:
    """Whether a process that ends with this error was told to, by a key or a signal, and did not fail.

    An exit with the code that a shell gives to such an end, 130 or 143, is one too.
    """
    by_code = isinstance(error, SystemExit) and error.code in BY_SIGNAL
    return by_code or type(error).__name__ in TOLD
