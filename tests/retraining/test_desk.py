"""The desk: what was due runs once, alone, and again when it was interrupted; what lies in its store never runs."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from safeguards.core.errors import ConfigurationError
from safeguards.retraining import Desk, Scheduled, Ticks
from tests.helpers.killing import begun, ended
from tests.retraining.test_commands import until
from tests.retraining.test_ticks import Planted

NOW = datetime.now(UTC)
YEARLY, DAILY = f"0 0 1 {(NOW.month + 5) % 12 + 1} *", f"0 {(NOW.hour + 12) % 24} * * *"
"""Half a year and half a day from now: neither comes while a test runs."""
COUNTS = ["sh", "-c", "echo ran >> ran"]
DAY = 86400.0
STORE = "sqlite:///schedule.db"

Said = queue.Queue[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def said() -> Said:
    return queue.Queue()


def told(texts: Said, part: str) -> str:
    """Waits until this is said."""
    while part not in (text := texts.get(timeout=100)):
        pass
    return text


def due(job: str, cron: str, ago: float) -> Ticks:
    ticks = Ticks(STORE)
    ticks.know(job, f"{cron} UTC")
    ticks.put_off(job, time.time() - ago)
    return ticks


class Served:
    """A desk at work in a thread, stopped in the end."""

    def __init__(self, said: Said, *, store: str = STORE, stop_seconds: float = 0.0, **jobs: Scheduled) -> None:
        self.stop = threading.Event()
        self.desk = Desk(jobs, store=store, directory=Path("schedule"), stop_seconds=stop_seconds, told=said.put)
        self.thread = threading.Thread(target=self.desk.serve, args=(self.stop,))

    def __enter__(self) -> Served:
        self.thread.start()
        return self

    def call(self, job: str) -> None:
        """For a job at once, as an exit code does."""
        self.desk._scheduler.modify_job(job, next_run_time=datetime.now(UTC))

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def test_what_was_due_five_times_runs_once(said: Said) -> None:
    ticks = due("audit", DAILY, 5 * DAY)
    with Served(said, audit=Scheduled(command=COUNTS, cron=DAILY, late_seconds=2 * int(DAY))):
        told(said, "audit ended with 0")
    assert Path("ran").read_text() == "ran\n"
    assert ticks.code("audit") == 0
    assert 0 < (ticks.due("audit") or 0) - time.time() <= DAY  # the next time of day
    with Served(said, audit=Scheduled(command=COUNTS, cron=DAILY)):
        told(said, "1 jobs")
    assert Path("ran").read_text() == "ran\n"


def test_what_is_too_late_waits_for_its_next_time(said: Said) -> None:
    ticks = due("audit", YEARLY, 5000)
    with Served(said, audit=Scheduled(command=COUNTS, cron=YEARLY, late_seconds=60)):
        told(said, "audit is more than 60 seconds late")
    assert not Path("ran").exists()
    assert not ticks.interrupted("audit")
    assert (ticks.due("audit") or 0) > time.time()


def test_of_two_schedulers_on_a_store_one_runs_it(said: Said) -> None:
    due("audit", YEARLY, 5)
    job = Scheduled(command=COUNTS, cron=YEARLY)
    with Served(said, audit=job), Served(said, audit=job):
        heard: list[str] = []
        while not (sum("1 jobs" in text for text in heard) == 2 and "audit ended with 0" in heard):
            heard.append(said.get(timeout=100))
    assert Path("ran").read_text() == "ran\n"


def test_a_moment_that_was_run_is_not_run_again(said: Said) -> None:
    """As a scheduler finds it that looked before another wrote down when the job is due next."""
    ticks = due("audit", YEARLY, 5)
    moment = ticks.due("audit")
    job = Scheduled(command=COUNTS, cron=YEARLY)
    with Served(said, audit=job):
        told(said, "audit ended with 0")
    ticks.put_off("audit", moment)
    with Served(said, audit=job):
        told(said, "was claimed before and does not begin again")
        until(lambda: (ticks.due("audit") or 0.0) > time.time())
    assert Path("ran").read_text() == "ran\n"


def test_a_clock_that_was_ahead_moves_no_job_beyond_its_next_time(said: Said) -> None:
    ticks = due("audit", DAILY, -1000 * DAY)
    with Served(said, audit=Scheduled(command=COUNTS, cron=DAILY)):
        told(said, "1 jobs")
    assert 0 < (ticks.due("audit") or 0) - time.time() <= DAY


def test_a_run_that_still_goes_on_is_not_run_beside(said: Said) -> None:
    ticks = due("audit", YEARLY, 5)
    job = Scheduled(command=["sh", "-c", "echo ran >> ran; until [ -e go ]; do sleep 0.01; done"], cron=YEARLY)
    with Served(said, stop_seconds=20.0, audit=job):
        until(Path("ran").exists)
        until(lambda: (ticks.due("audit") or 0.0) > time.time())  # the first has written when it is due next
        ticks.put_off("audit", time.time())
        with Served(said, stop_seconds=20.0, audit=job):
            told(said, "audit is still running: this time waits for its end")
            assert Path("ran").read_text() == "ran\n"
            until(lambda: (ticks.due("audit") or 0.0) < time.time())  # due still, should everybody be killed now
            Path("go").touch()
            told(said, "audit ended with 0")
            told(said, "audit ended with 0")
            until(lambda: (ticks.due("audit") or 0.0) > time.time())
    assert Path("ran").read_text() == "ran\nran\n"


def test_an_exit_code_calls_for_another_job(said: Said) -> None:
    due("audit", YEARLY, 5)
    jobs = {
        "audit": Scheduled(command=["sh", "-c", "exit 7"], cron=YEARLY, then={7: "retrain"}),
        "retrain": Scheduled(command=COUNTS, cron=YEARLY),
    }
    with Served(said, **jobs):
        assert told(said, "retrain ended") == "retrain ended with 0"


def test_what_is_called_for_is_written_before_anything_else(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kill leaves it that comes before the scheduler knows."""
    ticks = due("audit", YEARLY, 5)
    jobs = {
        "audit": Scheduled(command=["sh", "-c", "exit 7"], cron=YEARLY, then={7: "retrain"}),
        "retrain": Scheduled(command=COUNTS, cron=YEARLY),
    }
    monkeypatch.setattr(BackgroundScheduler, "modify_job", lambda *_, **__: None)
    with Served(said, **jobs):
        told(said, "audit calls for retrain")
    assert (ticks.due("retrain") or 0.0) > 0
    assert (ticks.due("retrain") or 4e9) <= time.time()


def test_a_job_that_is_called_for_while_it_runs_runs_again_afterwards(said: Said) -> None:
    due("retrain", YEARLY, 5)
    due("audit", YEARLY, 5)
    waits = "echo ran >> ran; until [ -e go ]; do sleep 0.01; done"
    jobs = {
        "audit": Scheduled(
            command=["sh", "-c", "until [ -e ran ]; do :; done; exit 7"], cron=YEARLY, then={7: "retrain"}
        ),
        "retrain": Scheduled(command=["sh", "-c", waits], cron=YEARLY),
    }
    with Served(said, **jobs):
        told(said, "audit calls for retrain")
        told(said, "retrain is still running: this time waits")
        Path("go").touch()
        told(said, "retrain ended with 0")
        told(said, "retrain ended with 0")
    assert Path("ran").read_text() == "ran\nran\n"


def test_a_job_that_cannot_be_run_is_told_and_the_others_go_on(said: Said) -> None:
    ticks = due("audit", YEARLY, 5)
    with Served(said, audit=Scheduled(command=["no such word"], cron=YEARLY)):
        told(said, "'no such word' cannot be run")
    assert not ticks.interrupted("audit")


def test_what_lies_in_the_store_is_not_run(said: Said, tmp_path: Path) -> None:
    """Pickles in our table, and in the one that APScheduler's own store would read and unpickle."""
    due("audit", YEARLY, 5)
    planted = pickle.dumps(Planted(tmp_path / "hacked"))
    with sqlite3.connect("schedule.db") as store:
        store.execute("CREATE TABLE apscheduler_jobs (id TEXT, next_run_time FLOAT, job_state BLOB)")
        store.execute("INSERT INTO apscheduler_jobs VALUES ('audit', 1.0, ?)", (planted,))
        store.execute("INSERT INTO safeguards_schedule (job, cron, due) VALUES ('touch hacked', '* * * * *', 1.0)")
        store.execute("UPDATE safeguards_schedule SET due = ?1, begun = ?1, claimed = ?1, code = ?1", (planted,))
    with Served(said, audit=Scheduled(command=COUNTS, cron=YEARLY)):
        assert "audit at" in told(said, "1 jobs")
    assert not (tmp_path / "hacked").exists()
    assert not Path("ran").exists()
    pickle.loads(planted)
    assert (tmp_path / "hacked").exists()  # the pickle was a live one


def test_killed_between_the_clock_and_the_claim_no_time_is_lost(said: Said) -> None:
    """APScheduler has moved on to the next time, and nobody has claimed this one."""
    due("audit", YEARLY, 5)
    job = Scheduled(command=COUNTS, cron=YEARLY)

    def dies_before_the_claim() -> None:
        desk = Desk({"audit": job}, store=STORE, directory=Path("schedule"))

        def claim(_: Ticks, name: str, *__: object, **___: object) -> None:
            if desk._scheduler.get_job(name).next_run_time.timestamp() > time.time():  # waits while it looks for jobs
                os.kill(os.getpid(), signal.SIGKILL)

        Ticks.claim = claim  # type: ignore[method-assign,assignment]
        gives_up = threading.Event()
        threading.Timer(100, gives_up.set).start()
        desk.serve(gives_up)

    assert ended(begun(dies_before_the_claim)) == -signal.SIGKILL
    assert not Path("ran").exists()
    with Served(said, audit=job):
        told(said, "audit ended with 0")
    assert Path("ran").read_text() == "ran\n"


def test_a_store_that_fails_stops_no_clock_and_costs_no_time(said: Said) -> None:
    ticks = Ticks(STORE)
    jobs = {name: Scheduled(command=COUNTS, cron=YEARLY) for name in ("audit", "retrain")}
    impatient = Served(said, store=f"{STORE}?timeout=0.1", **jobs)
    with contextlib.closing(sqlite3.connect("schedule.db", isolation_level=None)) as other, impatient as served:
        told(said, "2 jobs")
        ticks.put_off("audit", time.time())
        other.execute("BEGIN EXCLUSIVE")
        served.call("audit")
        told(said, "the store of the schedule fails: database is locked")
        other.execute("ROLLBACK")
        served.call("retrain")
        told(said, "retrain ended with 0")
    with Served(said, **jobs):
        told(said, "audit ended with 0")


def test_days_are_named_because_numbers_mean_others_to_apscheduler() -> None:
    assert str(CronTrigger.from_crontab("0 3 * * 1")) != str(CronTrigger.from_crontab("0 3 * * mon"))
    with pytest.raises(ConfigurationError, match="name the day of the week"):
        Desk({"audit": Scheduled(command=COUNTS, cron="0 3 * * 1")}, store=STORE, directory=Path("schedule"))
