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
    r"^(?:\[(?:default|rank)\d+\]:\s*)*"
    r"((?:\w+\.)*\w*(?:Error|Exception|Interrupt|Violated|Applicable)\b:? ?.*|error: .+)$"
)
BY_SIGNAL = 128
LAUNCHER = ("torch.distributed.elastic", "ChildFailedError")


def why(returncode: int, log: str) -> str:
    """One line without secrets: the signal that killed a worker, the error that it raised, or else the exit code.

    torchrun ends the workers that are left with SIGTERM: that is a reason only where there is no other.
    """
    signals = [int(number) for number in KILLED.findall(log)]
    if returncode > BY_SIGNAL:
        signals.append(returncode - BY_SIGNAL)
    if causes := [number for number in signals if number != signal.SIGTERM]:
        return _killed(causes[0])
    for line in log.splitlines():
        raised = RAISED.match(line.strip())
        if raised and not any(word in line for word in LAUNCHER):
            return redact(raised[1], known_secrets(os.environ))[:LONGEST]
    return _killed(signal.SIGTERM) if signals else f"ended with exit code {returncode}"


def _killed(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    short = "; when memory runs out the system does that" if name == "SIGKILL" else ""
    return f"a process was killed by signal {name}{short}"
