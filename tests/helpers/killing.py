"""Children of a test, and those that are killed with SIGKILL at a step of a job or at any touch of the disk."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

__all__ = ["begun", "ended", "killed_at", "killed_before"]


def begun(work: Callable[[], object]) -> int:
    """A child that does this work, by its id; its exit code is what the work returns where that is a number, else 0."""
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        done = work()
        code = done if isinstance(done, int) else 0
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """How it ended: its exit code, or the negative number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_before(step: str, work: Callable[[], object]) -> int:
    """How a child ends that is killed when a step has done its work and is about to count as done."""

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and str(arguments[1]).endswith(f"-{step}"):
            os.kill(os.getpid(), signal.SIGKILL)

    def watched() -> None:
        sys.addaudithook(watch)
        work()

    return ended(begun(watched))


def killed_at(number: int, counts: Callable[[str, tuple[object, ...]], bool], work: Callable[[], object]) -> int:
    """How a child ends that is killed at the ``number``-th of the audited events that ``counts`` picks."""
    seen = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if counts(event, arguments):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def watched() -> int:
        sys.addaudithook(watch)
        try:
            work()
        except Exception:
            return 1
        return 0

    return ended(begun(watched))
