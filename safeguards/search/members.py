"""The processes of one trial, found by a mark in their environment and ended as a whole.

torchrun gives each worker a session of its own, so the group of the launcher does not hold them; a mark in the
environment is passed on to whatever they start. It is read from /proc; where there is none, only the launcher is known.

Run as a file, this is the keeper of a trial: it starts the launcher and ends everything once the search itself is gone.
Hence nothing but the standard library is imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["end_all", "keep", "marked"]

GRACE_SECONDS = 5.0
LAST_SECONDS = 20.0
PAUSE_SECONDS = 0.05
LOOK_SECONDS = 0.25
BY_SIGNAL = 128


def marked(mark: str) -> list[int]:
    """Ids of the living processes whose environment holds ``NAME=value``, this one left out."""
    wanted = mark.encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def end_all(first: subprocess.Popen[bytes], mark: str) -> None:
    """End a process with its group, and all marked ones: asked to, and killed after 5 seconds.

    Returns once none is left, at the latest after 20 seconds more.
    """
    if first.poll() is None:
        _signal(first.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            first.wait(GRACE_SECONDS)
    _signal(first.pid, signal.SIGKILL)
    first.wait()
    until = time.monotonic() + LAST_SECONDS
    while (left := marked(mark)) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE_SECONDS)


def _signal(pid: int, number: signal.Signals) -> None:
    """To its group where it leads one."""
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def keep(search: int, mark: str, command: list[str]) -> int:
    """Run a launcher while the process ``search`` is this one's parent.

    Its exit code, as a shell has it: 128 more than its number for a signal.
    """
    signal.signal(signal.SIGTERM, lambda *_: None)  # meant for the launcher, which gets it too
    launcher = subprocess.Popen(command)
    while os.getppid() == search:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = launcher.wait(LOOK_SECONDS)
            return code if code >= 0 else BY_SIGNAL - code
    end_all(launcher, mark)
    return 1


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
