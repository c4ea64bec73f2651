"""Run the pipelines by the clock, one command each, and remember across restarts what is due.

    python -m pipelines.schedule --config conf/schedule.yaml

A job does not overlap with itself, also where several schedulers share a store. What was due while none was there runs
once when one starts, unless it is later than the job allows. SIGTERM or Ctrl-C: nothing new begins, what runs has time
to end, then it is ended, and taken up again by the next scheduler. Exit codes: 0 it was told to stop; 1 it broke; 2 the
configuration is wrong.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.codes import Parser, conclude
from safeguards.retraining import Desk, Scheduled
from safeguards.tracking import safe_line

__all__ = ["Settings", "command", "main", "serve"]

STOPPED = 0


@dataclass(kw_only=True)
class Settings:
    """The keys of conf/schedule.yaml, where each is explained."""

    jobs: dict[str, Scheduled]
    store: str = "sqlite:///safeguards_runs/schedule/schedule.db"
    directory: str = "safeguards_runs/schedule"
    timezone: str = "UTC"
    stop_seconds: float = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run jobs until a signal says stop."""
    settings, _ = Parser.read(Settings, "python -m pipelines.schedule", __doc__, arguments)
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    serve(settings, stop)
    return STOPPED


def serve(settings: Settings, stop: threading.Event) -> None:
    """Run jobs until ``stop`` is set."""
    Desk(
        settings.jobs,
        store=settings.store,
        directory=Path(settings.directory),
        timezone=settings.timezone,
        stop_seconds=settings.stop_seconds,
        told=_say,
    ).serve(stop)


def _say(text: str) -> None:
    print(f"schedule: {safe_line(text)}", flush=True)


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    return conclude(main)


if __name__ == "__main__":
    sys.exit(command())
