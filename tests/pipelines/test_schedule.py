"""The schedule as its command runs it: stopped, killed and taken up again; its configuration told in one line."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipelines import audit, retrain, schedule
from safeguards.retraining import Commands, Desk, Ticks
from tests.retraining.test_commands import until
from tests.retraining.test_desk import YEARLY

CONF = Path(__file__).parents[2] / "conf"
DAILY = "0 0 * * *"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.schedule", "--config=schedule.yaml"],
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
    ticks = Ticks("sqlite:///schedule.db")
    ticks.know("audit", f"{YEARLY} UTC")
    ticks.put_off("audit", time.time() - 5)
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


def test_the_configuration_as_it_stands_names_what_is_there() -> None:
    given, _ = schedule.Parser.read(schedule.Settings, "schedule", "", [f"--config={CONF / 'schedule.yaml'}"])
    Desk(given.jobs, store="sqlite:///schedule.db", directory=Path("schedule"), timezone=given.timezone)
    modules = {"audit": audit, "retrain": retrain}
    for name, job in given.jobs.items():
        assert job.command[:4] == ["python", "-m", f"pipelines.{name}", "--config"]
        assert (CONF.parent / job.command[4]).is_file()
        assert set(job.then) <= set(modules[name].CODES.values())
    assert given.jobs["audit"].then == {audit.OPENED: "retrain"}
