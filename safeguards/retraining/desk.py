"""Commands by the clock: what was due while no desk was open runs once, and no job overlaps with itself.

APScheduler tells the time and keeps nothing. When each job is due, was begun and has ended lies in a store of plain
values, which several desks may share: of these one runs what is due. The store moves on in the statement that claims
what was due, so that no kill loses a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.errors import AlreadyRunning, ConfigurationError, SafeguardError
from safeguards.retraining.commands import Commands
from safeguards.retraining.ticks import Ticks

if TYPE_CHECKING:
    from apscheduler.events import JobExecutionEvent
    from apscheduler.executors.pool import ThreadPoolExecutor
    from apscheduler.job import Job
    from apscheduler.triggers.cron import CronTrigger

__all__ = ["Desk", "Scheduled"]

AGAIN = 1.0  # seconds between two looks whether the run that goes on has ended
PLACES = 5  # of a crontab line, the fifth is the day of the week


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A job: its command, when it is due, how late it may begin, and which job follows at once on an exit code."""

    command: list[str]
    cron: str
    late_seconds: int = 3600
    then: Mapping[int, str] = field(default_factory=dict)


class Desk:
    """Runs ``jobs``, by name, when the ``store``, an address of SQLAlchemy's, says that they are due.

    ``directory`` holds what the commands print and their locks. The cron lines are meant in ``timezone``. Once told to
    stop, what runs has ``stop_seconds`` to end. ``told`` gets one line for whatever happens. Raises
    `ConfigurationError` for a job that makes no sense, and for a store that does not open.
    """

    def __init__(
        self,
        jobs: Mapping[str, Scheduled],
        *,
        store: str,
        directory: Path,
        timezone: str = "UTC",
        stop_seconds: float = 60.0,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        from apscheduler.events import EVENT_JOB_MISSED
        from apscheduler.schedulers.background import BackgroundScheduler

        self.jobs, self.timezone, self.stop_seconds, self._say = jobs, timezone, stop_seconds, told
        self._triggers = {name: _trigger(name, jobs, timezone) for name in jobs}
        self._ticks, self._commands = Ticks(store), Commands(directory)
        self._closing = threading.Event()
        self._moments: dict[str, float] = {}
        self._scheduler = BackgroundScheduler(
            executors={"default": _executor(max(1, 2 * len(jobs)), self._moments)}, timezone=timezone
        )
        self._scheduler.add_listener(self._missed, EVENT_JOB_MISSED)

    def serve(self, stop: threading.Event) -> None:
        """Run jobs until ``stop`` is set: then begin nothing new, let what runs end, and end what does not."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # what matters is told
        for name in self.jobs:
            self._add(name)
        self._scheduler.start()
        times = ", ".join(f"{job.id} at {job.next_run_time}" for job in self._scheduler.get_jobs())
        self._say(f"{len(self.jobs)} jobs; {times}")
        stop.wait()
        self._scheduler.pause()
        self._closing.set()
        self._say("stopping")
        self._commands.end_all(patience=self.stop_seconds)
        self._scheduler.shutdown(wait=True)

    def _add(self, name: str) -> None:
        """A job, due when it was before the last desk closed; at once where that was killed in the middle of it.

        Never later than its next time: a clock that was ahead may have written when it is due.
        """
        job = self.jobs[name]
        self._ticks.know(name, f"{job.cron} {self.timezone}")
        self._take_up(name)
        known = min((at for at in (self._ticks.due(name), self._following(name)) if at is not None), default=None)
        due = None if known is None else datetime.fromtimestamp(known, UTC)
        self._ticks.put_off(name, None if due is None else due.timestamp())  # in microseconds, as a claim will be
        self._scheduler.add_job(
            self._run,
            self._triggers[name],
            args=[name],
            id=name,
            max_instances=2,  # one at work, and one that waits for its end
            coalesce=True,
            misfire_grace_time=job.late_seconds,
            next_run_time=due,
        )

    def _following(self, name: str) -> float | None:
        """The next time of its cron line; None where there is none."""
        found = self._triggers[name].get_next_fire_time(None, datetime.now(UTC))
        return None if found is None else float(found.timestamp())

    def _take_up(self, name: str) -> None:
        """What was begun and has not ended, with nobody at it, is due now."""
        with suppress(AlreadyRunning), self._commands.alone(name):
            if self._ticks.interrupted(name):
                self._ticks.put_off(name, datetime.now(UTC).timestamp())
                self._ticks.end(name)
                self._say(f"{name} was interrupted and is taken up again")

    def _run(self, name: str) -> None:
        """One run of a job, in a thread of the scheduler's: of several desks the one that claims the moment."""
        moment, waited = self._moments[name], False
        try:
            while not self._begun(name, moment, waited=waited):
                waited = True
                if self._closing.wait(AGAIN):
                    return
        except SafeguardError as error:
            self._say(str(error))

    def _begun(self, name: str, moment: float, *, waited: bool) -> bool:
        """False where what was due at this moment has to wait for the end of a run that began before."""
        try:
            with self._commands.alone(name) as lock:
                if self._ticks.claim(name, moment, following=self._following(name)):
                    self._work(name, lock)
                else:
                    self._pass_over(name, moment)
                    when = datetime.fromtimestamp(moment, UTC)
                    self._say(f"{name}: {when} was claimed before and does not begin again")
        except AlreadyRunning as busy:
            if self._ticks.is_claimed(name, moment):
                self._pass_over(name, moment)
                self._say(f"{busy}: this time is skipped")
                return True
            if not waited:
                self._say(f"{busy}: this time waits for its end")
            return False
        return True

    def _work(self, name: str, lock: int) -> None:
        """Whether it runs is written while its lock is held, so that whoever holds the lock knows."""
        job = self.jobs[name]
        self._say(f"{name} begins")
        try:
            code = self._commands.run_alone(name, job.command, lock)
        except SafeguardError:
            self._ticks.end(name)
            raise
        if code is None:
            self._say(f"{name} was ended; the next scheduler takes it up again")
            return
        self._ticks.end(name, code, then=job.then.get(code))
        self._say(f"{name} ended with {code}")
        if code in job.then:
            self._say(f"{name} calls for {job.then[code]}")
            self._scheduler.modify_job(job.then[code], next_run_time=datetime.now(UTC))

    def _missed(self, event: JobExecutionEvent) -> None:
        name = str(event.job_id)
        self._say(f"{name} is more than {self.jobs[name].late_seconds} seconds late and waits for its next time")
        try:
            self._pass_over(name, event.scheduled_run_time.timestamp())
        except SafeguardError as error:
            self._say(str(error))

    def _pass_over(self, name: str, moment: float) -> None:
        self._ticks.pass_over(name, moment, following=self._following(name))


def _trigger(name: str, jobs: Mapping[str, Scheduled], timezone: str) -> CronTrigger:
    """As a crontab line, but days of the week by name: APScheduler counts them from Monday, cron from Sunday."""
    from apscheduler.triggers.cron import CronTrigger

    job = jobs[name]
    places = job.cron.split()
    if len(places) == PLACES and any(letter.isdigit() for letter in places[-1]):
        raise ConfigurationError(f"jobs.{name}.cron: {job.cron!r}: name the day of the week, as in mon or mon-fri")
    for code, follower in job.then.items():
        if follower not in jobs:
            raise ConfigurationError(f"jobs.{name}.then: {code}: there is no job {follower!r}")
    if not job.command:
        raise ConfigurationError(f"jobs.{name}.command: expected words, such as [python, -m, pipelines.audit]")
    try:
        return CronTrigger.from_crontab(job.cron, timezone=timezone)
    except (ValueError, LookupError) as error:
        raise ConfigurationError(f"jobs.{name}.cron: {job.cron!r} in {timezone!r}: {error}") from None


def _executor(workers: int, moments: dict[str, float]) -> ThreadPoolExecutor:
    """Threads that write down for which moment a job was last begun, which APScheduler does not tell the job."""
    from apscheduler.executors.pool import ThreadPoolExecutor

    class Moments(ThreadPoolExecutor):  # type: ignore[misc]
        def submit_job(self, job: Job, run_times: list[datetime]) -> None:
            moments[job.id] = run_times[-1].timestamp()
            super().submit_job(job, run_times)

    return Moments(workers)
