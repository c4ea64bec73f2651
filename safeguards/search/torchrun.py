"""A trial as a fresh group of processes under torchrun, with a time limit, of which nothing stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from safeguards.core.errors import ConfigurationError, TrialFailed
from safeguards.search import members
from safeguards.search.failure import why
from safeguards.search.line import ADDRESS, Ending, Exchange
from safeguards.search.storage import STORAGE

__all__ = ["Torchrun", "processes_of", "without_secrets_of"]

PATIENCE_SECONDS = 0.1
OPTIONS = ("--standalone", "--local-addr", "127.0.0.1", "--max-restarts", "0")
WHOLE_LINES = ("--tee", "3", "--log-dir")  # workers that write to one file at once tear each other's lines
SILENT = "its processes ended well without a word: is TrialReporter among the callbacks of the trainer?"
LOG, PROCESSES = "log.txt", "processes"
LIBPQ = ("PGPASSWORD", "PGPASSFILE")


@dataclass(frozen=True, kw_only=True)
class Torchrun:
    """Starts ``processes`` times a module or script and its arguments: ``command=("-m", "pipelines.train", "fit")``.

    ``seconds`` is the time limit of a trial, None for none; ``environment`` is what its processes get, by default this
    process's. Linux only: what a trial starts is found in /proc.
    """

    command: Sequence[str]
    processes: int = 1
    seconds: float | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ConfigurationError(f"Torchrun(processes={self.processes!r}): expected 1 or more")
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigurationError(f"Torchrun(seconds={self.seconds!r}): expected more than 0, or None")

    @classmethod
    def of(cls, training: Mapping[str, Any], **given: Any) -> Torchrun:
        """With as many processes as the configuration of a training run has; see `processes_of`."""
        return cls(processes=processes_of(training), **given)

    def run(self, arguments: Sequence[str], folder: Path, prune: Callable[[int, float], bool]) -> Ending:
        """Train with these further arguments and return how it ended; what is printed goes to ``folder/log.txt``, and
        that of each process by itself below ``folder/processes``.

        ``prune`` is asked, in this thread, with each validation's number and value. Raises `TrialFailed` with the
        reason when the processes crash, are killed, take too long or say nothing. None of them is left either way.
        """
        heard = Heard(prune)
        folder.mkdir(parents=True, exist_ok=True)
        with Exchange(heard.answer) as exchange, (folder / LOG).open("wb") as log:
            keeper = self._start(arguments, exchange.address, log, folder / PROCESSES)
            try:
                in_time = self._attend(keeper, exchange)
            finally:
                exchange.close()  # who speaks now would wait for an answer, and not close what it has open
                members.end_all(keeper, _mark(exchange.address))
        if not in_time:
            raise TrialFailed(f"it took longer than {self.seconds:g} seconds and was ended")
        return _concluded(heard.ending, keeper.returncode, (folder / LOG).read_text(errors="replace"))

    def _start(self, arguments: Sequence[str], address: str, log: Any, each: Path) -> subprocess.Popen[bytes]:
        torchrun = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            *OPTIONS,
            *WHOLE_LINES,
            str(each),
            "--nproc-per-node",
            str(self.processes),
        ]
        return subprocess.Popen(
            [*self._keeper(address), *torchrun, *self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**self.environment, ADDRESS: address},
            start_new_session=True,
        )

    def _keeper(self, address: str) -> list[str]:
        return [sys.executable, "-I", str(members.__file__), str(os.getpid()), _mark(address)]

    def _attend(self, keeper: subprocess.Popen[bytes], exchange: Exchange) -> bool:
        """Answer until the processes have ended; False when their time was up before."""
        began = time.monotonic()
        while keeper.poll() is None:
            if self.seconds is not None and time.monotonic() - began > self.seconds:
                return False
            exchange.serve(PATIENCE_SECONDS)
        return True


def processes_of(training: Mapping[str, Any]) -> int:
    """How many processes a training run has on this machine. Raises `ConfigurationError` where only it will know."""
    devices = training["trainer"]["devices"]
    processes = len(devices) if isinstance(devices, list) else devices
    if not isinstance(processes, int) or processes < 1:
        raise ConfigurationError(
            f"trainer.devices is {devices!r}: how many processes it has must be known; write their number"
        )
    return processes


def _mark(address: str) -> str:
    return f"{ADDRESS}={address}"


class Heard:
    """What the trial has said. The first failure stands; what one rank tells after another's is a consequence."""

    def __init__(self, prune: Callable[[int, float], bool]) -> None:
        self._prune = prune
        self.ending: Ending | None = None

    def answer(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if "report" in message:
            return {"prune": self._prune(int(message["report"]["step"]), float(message["report"]["value"]))}
        ending = Ending.from_plain(message["ended"])
        if self.ending is None or (self.ending.state == "complete" and ending.state != "complete"):
            self.ending = ending
        return {}


def _concluded(ending: Ending | None, returncode: int, log: str) -> Ending:
    """A trial that says complete and then crashes has failed; one that its safeguards ended may exit as it likes."""
    if ending is not None and ending.state == "failed":
        raise TrialFailed(ending.reason)
    if ending is not None and (ending.state == "pruned" or returncode == 0):
        return ending
    raise TrialFailed(SILENT if returncode == 0 else why(returncode, log))


def without_secrets_of(address: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what opens the database at ``address``: its password, `STORAGE` and libpq's variables."""
    written = (urlsplit(address).password or "") if address and "://" in address else ""
    opens = {form for form in (written, unquote(written)) if form}

    def tells(name: str, value: str) -> bool:
        said = value in opens or any(f":{password}@" in value for password in opens)
        return said or value == address or name in (STORAGE, *LIBPQ)

    return {name: value for name, value in environment.items() if not tells(name, value)}
