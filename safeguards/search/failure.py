"""Why the processes of a trial ended, read from what they left behind."""

from __future__ import annotations

import os
import re
import signal

from safeguards.core.redact import known_secrets, redact

__all__ = ["why"]

LONGEST = 600
KILLED = re.compile(r"exitcode\s*:\s*-(\d+)")
RAISED = re.compile(
    r"^(?:\[rank\d+\]:\s*)?((?:\w+\.)*\w*(?:Error|Exception|Interrupt|Violated|Applicable)\b:? ?.*|error: .+)$"
)
BY_SIGNAL = 128
LAUNCHER = ("torch.distributed.elastic", "ChildFailedError")


def why(returncode: int, log: str) -> str:
    """One line without secrets: the signal that killed a worker, the error that it raised, or else the exit code."""
    number = KILLED.search(log)
    if number or returncode > BY_SIGNAL:
        return _killed(int(number[1]) if number else returncode - BY_SIGNAL)
    for line in log.splitlines():
        raised = RAISED.match(line.strip())
        if raised and not any(word in line for word in LAUNCHER):
            return redact(raised[1], known_secrets(os.environ))[:LONGEST]
    return f"ended with exit code {returncode}"


def _killed(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    short = "; when memory runs out the system does that" if name == "SIGKILL" else ""
    return f"a process was killed by signal {name}{short}"
