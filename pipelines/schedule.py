"""Run the pipelines by the clock, one command each, and remember across restarts what is due.

    python -m pipelines.schedule --config conf/schedule.yaml

A job does not overlap with itself, also where several schedulers share a store. What was due while none was there runs
once when one starts, unless it is later than the job allows. SIGTERM or Ctrl-C: nothing new begins, what runs has time
to end, then it is ended, and taken up again by the next scheduler. Exit codes: 0 it was told to stop; 1 it broke; 2 the
configuration is wrong.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from apscheduler.events import EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from pipelines.codes import Parser, conclude
from safeguards import ConfigurationError, SafeguardError
from safeguards.retraining import AlreadyRunning, Commands, Ticks
from safeguards.tracking import safe_line

__all__ = ["Scheduled", "Settings", "command", "main", "serve"]

STOPPED = 0
AGAIN = 1.0  # seconds between two looks whether the run that goes on has ended
PLACES = 5  # of a crontab line, the fifth is the day of the week


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A job: its command, when it is due, how late it may begin, and which job follows at once on an exit code."""

    command: list[str]
    cron: str
    late_seconds: int = 3600
    then: Mapping[int, str] = field(default_factory=dict)


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
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # what matters is told below
    triggers = {name: _trigger(name, job.cron, settings) for name, job in settings.jobs.items()}
    desk = Desk(settings, Ticks(settings.store))
    for name, trigger in triggers.items():
        desk.add(name, trigger)
    desk.scheduler.start()
    _say(f"{len(triggers)} jobs; {', '.join(f'{job.id} at {job.next_run_time}' for job in desk.scheduler.get_jobs())}")
    stop.wait()
    desk.close()


class Desk:
    """The scheduler of APScheduler over a store of plain values, and what one of its jobs does."""

    def __init__(self, settings: Settings, ticks: Ticks) -> None:
        self.settings, self.ticks = settings, ticks
        self.commands = Commands(Path(settings.directory))
        self.moments = Moments(max(1, 2 * len(settings.jobs)))
        self.closing = threading.Event()
        self.scheduler = BackgroundScheduler(
            jobstores={"default": PlainStore(ticks)},
            executors={"default": self.moments},
            timezone=settings.timezone,
        )
        self.scheduler.add_listener(self._missed, EVENT_JOB_MISSED)

    def add(self, name: str, trigger: CronTrigger) -> None:
        """A job, due when it was before the last scheduler ended; at once where that was killed in the middle of it.

        Never later than its next time: a clock that was ahead may have written when it is due.
        """
        job = self.settings.jobs[name]
        self.ticks.know(name, f"{job.cron} {self.settings.timezone}")
        self._take_up(name)
        due = self.ticks.due(name)
        upcoming = trigger.get_next_fire_time(None, datetime.now(UTC))
        known = [] if due is None else [datetime.fromtimestamp(due, UTC)]
        self.scheduler.add_job(
            self.run,
            trigger,
            args=[name],
            id=name,
            max_instances=2,  # one at work, and one that waits for its end
            coalesce=True,
            misfire_grace_time=job.late_seconds,
            next_run_time=min([*known, *([] if upcoming is None else [upcoming])], default=None),
        )

    def _take_up(self, name: str) -> None:
        """What was begun and has not ended, with nobody at it, is due now."""
        with suppress(AlreadyRunning), self.commands.alone(name):
            if self.ticks.interrupted(name):
                self.ticks.put_off(name, datetime.now(UTC).timestamp())
                self.ticks.end(name)
                _say(f"{name} was interrupted and is taken up again")

    def run(self, name: str) -> None:
        """One run of a job, in a thread of the scheduler's: of several schedulers the one that claims the moment."""
        moment, waited = self.moments.of[name], False
        try:
            while not self._begun(name, moment, waited=waited):
                self.ticks.put_off(name, moment)  # due until it begins, whoever is killed meanwhile
                waited = True
                if self.closing.wait(AGAIN):
                    return
        except SafeguardError as error:
            _say(str(error))

    def _begun(self, name: str, moment: float, *, waited: bool) -> bool:
        """False where what was due at this moment has to wait for the end of a run that began before."""
        try:
            with self.commands.alone(name) as lock:
                if self.ticks.claim(name, moment):
                    self._settle(name, waited=waited)
                    self._run(name, lock)
                else:
                    self._settle(name, waited=waited)
                    _say(f"{name}: {datetime.fromtimestamp(moment, UTC)} was claimed before and does not begin again")
        except AlreadyRunning as busy:
            if self.ticks.is_claimed(name, moment):
                self._settle(name, waited=waited)
                _say(f"{busy}: this time is skipped")
                return True
            if not waited:
                _say(f"{busy}: this time waits for its end")
            return False
        return True

    def _settle(self, name: str, *, waited: bool) -> None:
        job = self.scheduler.get_job(name) if waited else None
        if job is not None and job.next_run_time is not None:
            self.ticks.put_off(name, job.next_run_time.timestamp())

    def _run(self, name: str, lock: int) -> None:
        """Whether it runs is written while its lock is held, so that whoever holds the lock knows."""
        job = self.settings.jobs[name]
        _say(f"{name} begins")
        try:
            code = self.commands.run_alone(name, job.command, lock)
        except SafeguardError:
            self.ticks.end(name)
            raise
        if code is None:
            _say(f"{name} was ended; the next scheduler takes it up again")
            return
        self.ticks.end(name, code, then=job.then.get(code))
        _say(f"{name} ended with {code}")
        if code in job.then:
            _say(f"{name} calls for {job.then[code]}")
            self.scheduler.modify_job(job.then[code], next_run_time=datetime.now(UTC))

    def _missed(self, event: object) -> None:
        name = str(event.job_id)  # type: ignore[attr-defined]
        _say(f"{name} is more than {self.settings.jobs[name].late_seconds} seconds late and waits for its next time")

    def close(self) -> None:
        """Begin nothing new, let what runs end, end what does not."""
        self.scheduler.pause()
        self.closing.set()
        _say("stopping")
        self.commands.end_all(patience=self.settings.stop_seconds)
        self.scheduler.shutdown(wait=True)


class PlainStore(MemoryJobStore):  # type: ignore[misc]
    """Keeps, of each job, when it is due. APScheduler's own stores keep pickles, and what is unpickled may run."""

    def __init__(self, ticks: Ticks) -> None:
        super().__init__()
        self._ticks = ticks

    def add_job(self, job: Job) -> None:
        super().add_job(job)
        self._keep(job)

    def update_job(self, job: Job) -> None:
        super().update_job(job)
        self._keep(job)

    def _keep(self, job: Job) -> None:
        self._ticks.put_off(job.id, None if job.next_run_time is None else job.next_run_time.timestamp())


class Moments(ThreadPoolExecutor):  # type: ignore[misc]
    """Knows for which moment a job was last begun, which APScheduler does not tell the job."""

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers)
        self.of: dict[str, float] = {}

    def submit_job(self, job: Job, run_times: list[datetime]) -> None:
        self.of[job.id] = run_times[-1].timestamp()
        super().submit_job(job, run_times)


def _trigger(name: str, cron: str, settings: Settings) -> CronTrigger:
    """As a crontab line, but days of the week by name: APScheduler counts them from Monday, cron from Sunday."""
    places = cron.split()
    if len(places) == PLACES and any(letter.isdigit() for letter in places[-1]):
        raise ConfigurationError(f"jobs.{name}.cron: {cron!r}: name the day of the week, as in mon or mon-fri")
    for code, follower in settings.jobs[name].then.items():
        if follower not in settings.jobs:
            raise ConfigurationError(f"jobs.{name}.then: {code}: there is no job {follower!r}")
    if not settings.jobs[name].command:
        raise ConfigurationError(f"jobs.{name}.command: expected words, such as [python, -m, pipelines.audit]")
    try:
        return CronTrigger.from_crontab(cron, timezone=settings.timezone)
    except (ValueError, LookupError) as error:
        raise ConfigurationError(f"jobs.{name}.cron: {cron!r} in {settings.timezone!r}: {error}") from None


def _say(text: str) -> None:
    print(f"schedule: {safe_line(text)}", flush=True)


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    return conclude(main)


if __name__ == "__main__":
    sys.exit(command())
