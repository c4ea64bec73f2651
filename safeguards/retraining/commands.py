"""Commands of a schedule, each alone: the lock is the command's own, so that it outlives a scheduler that is killed."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from safeguards.core.errors import AlreadyRunning, SafeguardError
from safeguards.core.names import encode

__all__ = ["Commands"]

TOLD = (-signal.SIGTERM, 128 + signal.SIGTERM)
"""How a command ends that was told to: at once, or on a way out of its own."""

LAST_SECONDS = 10.0
"""How long a command that was told to end has before it is killed."""


class Commands:
    """Runs commands in processes of their own; what they print goes to ``folder/<name>.log``. Safe between threads.

    The first word ``python`` means the interpreter of this process. No shell reads a command.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: set[str] = set()
        self._closed, self._lock = False, threading.Lock()

    def run(self, name: str, words: Sequence[str]) -> int | None:
        """As `run_alone`, alone."""
        with self.alone(name) as lock:
            return self.run_alone(name, words, lock)

    @contextmanager
    def alone(self, name: str) -> Iterator[int]:
        """Nothing of this name runs, and nothing begins. Raises `AlreadyRunning` while a command of this name runs,
        whoever began it, also one whose scheduler is gone. What is given is for `run_alone`.
        """
        with _held(self.folder / f"{encode(name)}.lock", name) as lock:
            yield lock

    def run_alone(self, name: str, words: Sequence[str], lock: int) -> int | None:
        """The exit code, once it has ended; None where `end_all` ended it or had been called before, or where SIGTERM
        ended it after that: whoever tells a scheduler to end may tell all that it started.

        Raises `SafeguardError` for a command that cannot be run.
        """
        with self._log(name).open("ab") as log:
            process = self._begin(name, words, lock, log)
            if process is None:
                return None
            code = process.wait()
            with self._lock:
                del self._running[name]
                told_too = self._closed and code in TOLD
                return None if told_too or name in self._ended else code

    def _begin(self, name: str, words: Sequence[str], lock: int, log: BinaryIO) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._closed:
                return None
            try:
                self._running[name] = subprocess.Popen(
                    [sys.executable if words[0] == "python" else words[0], *words[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[lock],
                )
            except OSError as error:
                raise SafeguardError(f"{name}: {words[0]!r} cannot be run: {error.strerror or error}") from None
            return self._running[name]

    def is_running(self, name: str) -> bool:
        """Whether a command of this name runs, whoever began it."""
        try:
            with self.alone(name):
                return False
        except AlreadyRunning:
            return True

    def end_all(self, *, patience: float) -> list[str]:
        """Begin nothing more, give what runs ``patience`` seconds to end by itself, then end it; which were ended."""
        deadline = time.monotonic() + patience
        with self._lock:
            self._closed = True
            left = dict(self._running)
        for name, process in left.items():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                with self._lock:
                    self._ended.add(name)
                _end(process)
        return sorted(self._ended)

    def _log(self, name: str) -> Path:
        return self.folder / f"{encode(name)}.log"


def _end(process: subprocess.Popen[bytes]) -> None:
    """The command and all that it started in its session: asked first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LAST_SECONDS)
            return


@contextmanager
def _held(path: Path, name: str) -> Iterator[int]:
    """A lock that every process that inherits its descriptor holds too; the system frees it with the last of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"{name} is still running") from None
        yield lock
    finally:
        os.close(lock)
