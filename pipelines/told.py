"""SIGTERM ends a command within seconds: one line, exit code 143, and nothing that it started is left.

The main thread is interrupted where it is, as by Ctrl-C, so that ledgers, runs and trials are closed on the way out. A
thread hears the signal too, also while the main thread waits for another process and runs no handler: it passes the
signal on between the processes of a job, and ends this one where the way out hangs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

__all__ = ["TOLD_TO_END", "ToldToEnd", "ends_when_told", "keep_sigterm", "tell_too"]

TOLD_TO_END = 128 + signal.SIGTERM
"""The exit code of a command that SIGTERM ended, as a shell gives it."""
MOST_SECONDS = 25.0
"""How long the way out may take; many schedulers kill after 30."""
STUCK_SECONDS = 5.0
"""How long the main thread may stay where it is, once nobody is left for whom it could wait."""
LAST_SECONDS = 2.0
"""How long the other processes have, once this one is ready to leave."""
LOOK_SECONDS = 0.5
FIRST = "PIPELINES_FIRST"
"""The variable by which a process knows that the first one of its job has started it."""
STDERR = 2


class ToldToEnd(SystemExit):
    """SIGTERM, in the main thread."""

    def __init__(self) -> None:
        super().__init__(TOLD_TO_END)

    def __str__(self) -> str:
        return "SIGTERM"


def ends_when_told(work: Callable[[], int]) -> int:
    """What ``work`` returns or raises. Once SIGTERM has come the process ends in its place."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    return _Ear().during(work)


def keep_sigterm() -> None:
    """Undo what somebody else has made of SIGTERM. Outside `ends_when_told` nothing."""
    if _here is not None:
        _here.listen()


def tell_too(launcher: Any) -> None:
    """What this launcher of Lightning's has started or will start ends with this process. Outside nothing."""
    if _here is not None and launcher is not None:
        _here.others.launchers.append(launcher)
        os.environ[FIRST] = str(os.getpid())


class _Others:
    """The other processes of a job: for the first those that it started, for each of these the first."""

    def __init__(self) -> None:
        self.launchers: list[Any] = []
        self.first = os.getppid() if os.environ.get(FIRST) == str(os.getppid()) else None
        self._started: list[Any] = []
        self._is_first_told = False
        self._lock = threading.Lock()

    def tell(self) -> None:
        """The first once, those that were started again and again: some of them start late."""
        with self._lock:
            if self.first == os.getppid() and not self._is_first_told:
                self._is_first_told = True
                os.kill(self.first, signal.SIGTERM)
            for launcher in self.launchers:
                while launcher.procs:  # Lightning watches that list, and kills this process for how those on it end
                    self._started.append(launcher.procs.pop())
            for one in self._started:
                one.terminate()

    def any_left(self) -> bool:
        return any(map(_lives, self._started))

    def are_gone(self) -> bool:
        """All that this process started, if it did."""
        return bool(self._started) and not self.any_left()

    def end(self) -> None:
        until = time.monotonic() + LAST_SECONDS
        while time.monotonic() < until and self.any_left():
            time.sleep(LOOK_SECONDS / 10)
        for one in self._started:
            one.kill()


def _lives(one: Any) -> bool:
    return one.poll() is None if isinstance(one, subprocess.Popen) else bool(one.is_alive())


class _Ear:
    """Of this process, while it works."""

    def __init__(self) -> None:
        self.others = _Others()
        self._told, self._done, self._interrupted = (threading.Event() for _ in range(3))
        self._hears, self._says = socket.socketpair()
        self._says.setblocking(False)

    def during(self, work: Callable[[], int]) -> int:
        global _here
        _here, outer = self, _here
        handler = signal.getsignal(signal.SIGTERM)
        wakes = signal.set_wakeup_fd(self._says.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._attend, name="told", daemon=True).start()
        try:
            self.listen()
            return work()
        finally:
            if self._told.is_set():
                with suppress(OSError, ValueError):
                    sys.stdout.flush()
                self._leave()
            _here = outer
            signal.signal(signal.SIGTERM, handler)
            signal.set_wakeup_fd(wakes)
            os.environ.pop(FIRST, None)
            self._done.set()
            self.close()

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._interrupt)

    def close(self) -> None:
        self._says.close()

    def _interrupt(self, *_: object) -> None:
        """Once: nothing interrupts the way out, not how the workers of a loader end either, which are told as well."""
        self._told.set()
        if not self._interrupted.is_set():
            self._interrupted.set()
            signal.signal(signal.SIGCHLD, lambda *_: None)
            raise ToldToEnd

    def _attend(self) -> None:
        """In a thread of its own."""
        if not self._is_called():
            self._hears.close()
            return
        self._told.set()
        until = stuck = time.monotonic() + MOST_SECONDS
        while time.monotonic() < min(until, stuck):
            self.others.tell()
            if self._done.wait(LOOK_SECONDS):
                return
            waits_in_vain = self.others.are_gone() and not self._interrupted.is_set()
            stuck = min(stuck, time.monotonic() + STUCK_SECONDS) if waits_in_vain else until
        self._leave("; what it was at did not end and was cut off")

    def _is_called(self) -> bool:
        """Wait for SIGTERM; False where the work is over before."""
        while heard := self._hears.recv(64):
            if signal.SIGTERM in heard:
                return True
        return False

    def _leave(self, how: str = "") -> NoReturn:
        """At once: what threads of libraries are at has no say."""
        self.others.tell()
        self.others.end()
        if self.others.first is None:
            os.write(STDERR, f"error: told to end (SIGTERM) before it was done{how}\n".encode())
        os._exit(TOLD_TO_END)


_here: _Ear | None = None


def _hold() -> None:
    """What comes as a process forks waits until it is known whom it meets."""
    if _here is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _release() -> None:
    if _here is not None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _forked() -> None:
    """A worker that is forked, as a loader's is, ends alone."""
    global _here
    if _here is not None:
        _here.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _release()
        _here = None


os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_forked)
