"""A child that is killed with SIGKILL at a step of a job."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

__all__ = ["killed_before"]


def killed_before(step: str, work: Callable[[], object]) -> int:
    """How a child ends that is killed when a step has done its work and is about to count as done."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and str(arguments[1]).endswith(f"-{step}"):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        work()
    finally:
        os._exit(0)
