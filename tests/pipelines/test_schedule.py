"""The schedule: what was due runs once, alone, and again when it was interrupted; what lies in its store never runs."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipelines import audit, retrain, schedule
from pipelines.schedule import Scheduled, Settings, serve
from safeguards.retraining import Commands, Ticks
from tests.retraining.test_commands import until
from tests.retraining.test_ticks import Planted

CONF = Path(__file__).parents[2] / "conf"
YEARLY, DAILY = "0 0 1 1 *", "0 0 * * *"
COUNTS = ["sh", "-c", "echo ran >> ran"]
DAY = 86400.0


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[str]:
    texts: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(schedule, "_say", texts.put)
    return texts


def told(texts: queue.Queue[str], part: str) -> str:
    """Waits until this is said."""
    while part not in (text := texts.get(timeout=20)):
        pass
    return text


def settings(**jobs: Scheduled) -> Settings:
    return Settings(jobs=jobs, store="sqlite:///schedule.db", directory="schedule", stop_seconds=0.0)


def due(job: str, cron: str, ago: float) -> Ticks:
    ticks = Ticks("sqlite:///schedule.db")
    ticks.know(job, f"{cron} UTC")
    ticks.put_off(job, time.time() - ago)
    return ticks


class Served:
    """Runs a schedule in a thread, stopped in the end."""

    def __init__(self, given: Settings) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=serve, args=(given, self.stop))

    def __enter__(self) -> Served:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def test_what_was_due_five_times_runs_once(said: queue.Queue[str]) -> None:
    ticks = due("audit", DAILY, 5 * DAY)
    with Served(settings(audit=Scheduled(command=COUNTS, cron=DAILY, late_seconds=2 * int(DAY)))):
        told(said, "audit ended with 0")
    assert Path("ran").read_text() == "ran\n"
    assert ticks.code("audit") == 0
    assert 0 < (ticks.due("audit") or 0) - time.time() <= DAY  # the next midnight
    with Served(settings(audit=Scheduled(command=COUNTS, cron=DAILY))):
        told(said, "1 jobs")
    assert Path("ran").read_text() == "ran\n"


def test_what_is_too_late_waits_for_its_next_time(said: queue.Queue[str]) -> None:
    ticks = due("audit", YEARLY, 5000)
    with Served(settings(audit=Scheduled(command=COUNTS, cron=YEARLY, late_seconds=60))):
        told(said, "audit is more than 60 seconds late")
    assert not Path("ran").exists()
    assert not ticks.interrupted("audit")
    assert (ticks.due("audit") or 0) > time.time()


def test_of_two_schedulers_on_a_store_one_runs_it(said: queue.Queue[str]) -> None:
    due("audit", YEARLY, 5)
    given = settings(audit=Scheduled(command=COUNTS, cron=YEARLY))
    with Served(given), Served(given):
        heard: list[str] = []
        while not (sum("1 jobs" in text for text in heard) == 2 and "audit ended with 0" in heard):
            heard.append(said.get(timeout=20))
    assert Path("ran").read_text() == "ran\n"


def test_a_moment_that_was_run_is_not_run_again(said: queue.Queue[str]) -> None:
    """As a scheduler finds it that looked before another wrote down when the job is due next."""
    ticks = due("audit", YEARLY, 5)
    moment = ticks.due("audit")
    given = settings(audit=Scheduled(command=COUNTS, cron=YEARLY))
    with Served(given):
        told(said, "audit ended with 0")
    ticks.put_off("audit", moment)
    with Served(given):
        told(said, "was claimed before and does not begin again")
        until(lambda: (ticks.due("audit") or 0.0) > time.time())
    assert Path("ran").read_text() == "ran\n"


def test_a_clock_that_was_ahead_moves_no_job_beyond_its_next_time(said: queue.Queue[str]) -> None:
    ticks = due("audit", DAILY, -1000 * DAY)
    with Served(settings(audit=Scheduled(command=COUNTS, cron=DAILY))):
        told(said, "1 jobs")
    assert 0 < (ticks.due("audit") or 0) - time.time() <= DAY


def test_a_run_that_still_goes_on_is_not_run_beside(said: queue.Queue[str]) -> None:
    ticks = due("audit", YEARLY, 5)
    given = settings(
        audit=Scheduled(command=["sh", "-c", "echo ran >> ran; until [ -e go ]; do sleep 0.01; done"], cron=YEARLY)
    )
    given.stop_seconds = 20.0
    with Served(given):
        until(Path("ran").exists)
        until(lambda: (ticks.due("audit") or 0.0) > time.time())  # the first has written when it is due next
        ticks.put_off("audit", time.time())
        with Served(given):
            told(said, "audit is still running: this time waits for its end")
            assert Path("ran").read_text() == "ran\n"
            until(lambda: (ticks.due("audit") or 0.0) < time.time())  # due still, should everybody be killed now
            Path("go").touch()
            told(said, "audit ended with 0")
            told(said, "audit ended with 0")
            until(lambda: (ticks.due("audit") or 0.0) > time.time())
    assert Path("ran").read_text() == "ran\nran\n"


def test_an_exit_code_calls_for_another_job(said: queue.Queue[str]) -> None:
    due("audit", YEARLY, 5)
    jobs = {
        "audit": Scheduled(command=["sh", "-c", "exit 7"], cron=YEARLY, then={7: "retrain"}),
        "retrain": Scheduled(command=COUNTS, cron=YEARLY),
    }
    with Served(settings(**jobs)):
        assert told(said, "retrain ended") == "retrain ended with 0"


def test_what_is_called_for_is_written_before_anything_else(
    said: queue.Queue[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill leaves it that comes before the scheduler knows."""
    ticks = due("audit", YEARLY, 5)
    jobs = {
        "audit": Scheduled(command=["sh", "-c", "exit 7"], cron=YEARLY, then={7: "retrain"}),
        "retrain": Scheduled(command=COUNTS, cron=YEARLY),
    }
    monkeypatch.setattr(schedule.BackgroundScheduler, "modify_job", lambda *_, **__: None)
    with Served(settings(**jobs)):
        told(said, "audit calls for retrain")
    assert (ticks.due("retrain") or 0.0) > 0
    assert (ticks.due("retrain") or 4e9) <= time.time()


def test_a_job_that_is_called_for_while_it_runs_runs_again_afterwards(said: queue.Queue[str]) -> None:
    due("retrain", YEARLY, 5)
    due("audit", YEARLY, 5)
    waits = "echo ran >> ran; until [ -e go ]; do sleep 0.01; done"
    jobs = {
        "audit": Scheduled(
            command=["sh", "-c", "until [ -e ran ]; do :; done; exit 7"], cron=YEARLY, then={7: "retrain"}
        ),
        "retrain": Scheduled(command=["sh", "-c", waits], cron=YEARLY),
    }
    with Served(settings(**jobs)):
        told(said, "audit calls for retrain")
        told(said, "retrain is still running: this time waits")
        Path("go").touch()
        told(said, "retrain ended with 0")
        told(said, "retrain ended with 0")
    assert Path("ran").read_text() == "ran\nran\n"


def test_a_job_that_cannot_be_run_is_told_and_the_others_go_on(said: queue.Queue[str]) -> None:
    ticks = due("audit", YEARLY, 5)
    with Served(settings(audit=Scheduled(command=["no such word"], cron=YEARLY))):
        told(said, "'no such word' cannot be run")
    assert not ticks.interrupted("audit")


def test_what_lies_in_the_store_is_not_run(said: queue.Queue[str], tmp_path: Path) -> None:
    """Pickles in our table, and in the one that APScheduler's own store would read and unpickle."""
    due("audit", YEARLY, 5)
    planted = pickle.dumps(Planted(tmp_path / "hacked"))
    with sqlite3.connect("schedule.db") as store:
        store.execute("CREATE TABLE apscheduler_jobs (id TEXT, next_run_time FLOAT, job_state BLOB)")
        store.execute("INSERT INTO apscheduler_jobs VALUES ('audit', 1.0, ?)", (planted,))
        store.execute("INSERT INTO safeguards_schedule (job, cron, due) VALUES ('touch hacked', '* * * * *', 1.0)")
        store.execute("UPDATE safeguards_schedule SET due = ?1, begun = ?1, claimed = ?1, code = ?1", (planted,))
    with Served(settings(audit=Scheduled(command=COUNTS, cron=YEARLY))):
        assert "audit at" in told(said, "1 jobs")
    assert not (tmp_path / "hacked").exists()
    assert not Path("ran").exists()
    pickle.loads(planted)
    assert (tmp_path / "hacked").exists()  # the pickle was a live one


def started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.schedule", "--config=schedule.yaml"],
        env={**os.environ, "PYTHONPATH": str(CONF.parent)},
        stdout=subprocess.PIPE,
        text=True,
    )


def hear(process: subprocess.Popen[str], true: Callable[[str], bool]) -> str:
    assert process.stdout is not None
    return next(line for line in process.stdout if true(line))


def test_stopped_or_killed_what_it_ran_is_taken_up_again() -> None:
    """SIGTERM ends the command and says so, kill -9 leaves it running; both times the next scheduler sees to it."""
    waits = "echo ran >> ran; until [ -e go ]; do sleep 0.02; done"
    job = {"command": ["sh", "-c", waits], "cron": YEARLY}
    told = {"jobs": {"audit": job}, "store": "sqlite:///schedule.db", "directory": "schedule", "stop_seconds": 0.1}
    Path("schedule.yaml").write_text(yaml.safe_dump(told))
    due("audit", YEARLY, 5)
    commands = Commands(Path("schedule"))
    schedulers: list[subprocess.Popen[str]] = []
    try:
        taken_up(commands, schedulers)
    finally:
        Path("go").touch()  # whatever happened above, nothing waits for ever
        for scheduler in schedulers:
            scheduler.kill()
            scheduler.wait()


def taken_up(commands: Commands, schedulers: list[subprocess.Popen[str]]) -> None:
    def started_too() -> subprocess.Popen[str]:
        schedulers.append(started())
        return schedulers[-1]

    first = started_too()
    hear(first, lambda line: "audit begins" in line)
    until(Path("ran").exists)
    first.terminate()
    hear(first, lambda line: "the next scheduler takes it up again" in line)
    assert (first.wait(), commands.is_running("audit")) == (0, False)
    second = started_too()
    hear(second, lambda line: "audit was interrupted and is taken up again" in line)
    until(lambda: Path("ran").read_text() == "ran\nran\n")
    second.kill()
    second.wait()
    assert commands.is_running("audit")  # it goes on by itself, and holds its lock
    Path("go").touch()
    until(lambda: not commands.is_running("audit"))
    third = started_too()
    hear(third, lambda line: "audit ended with 0" in line)
    third.send_signal(signal.SIGINT)
    assert third.wait() == 0
    assert Path("ran").read_text() == "ran\n" * 3


SLIPS = [
    ({"cron": "0 3 * * 1"}, "name the day of the week"),
    ({"cron": "0 3 * *"}, "jobs.audit.cron: '0 3 * *'"),
    ({"cron": "61 3 * * *"}, "jobs.audit.cron: '61 3 * * *'"),
    ({"then": {"7": "retrian"}}, "there is no job 'retrian'"),
    ({"command": []}, "expected words"),
]


@pytest.mark.parametrize(("wrong", "says"), SLIPS)
def test_a_slip_of_the_pen_is_one_line(
    wrong: dict[str, object], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {"command": ["true"], "cron": DAILY, **wrong}
    Path("schedule.yaml").write_text(yaml.safe_dump({"jobs": {"audit": job}, "store": "sqlite:///schedule.db"}))
    monkeypatch.setattr(sys, "argv", ["schedule", "--config=schedule.yaml"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert schedule.command() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_days_are_named_because_numbers_mean_others_to_apscheduler() -> None:
    from apscheduler.triggers.cron import CronTrigger

    assert str(CronTrigger.from_crontab("0 3 * * 1")) != str(CronTrigger.from_crontab("0 3 * * mon"))


def test_the_configuration_as_it_stands_names_what_is_there() -> None:
    given, _ = schedule.Parser.read(Settings, "schedule", "", [f"--config={CONF / 'schedule.yaml'}"])
    modules = {"audit": audit, "retrain": retrain}
    for name, job in given.jobs.items():
        schedule._trigger(name, job.cron, given)
        assert job.command[:4] == ["python", "-m", f"pipelines.{name}", "--config"]
        assert (CONF.parent / job.command[4]).is_file()
        assert set(job.then) <= set(modules[name].CODES.values())
    assert given.jobs["audit"].then == {audit.OPENED: "retrain"}
