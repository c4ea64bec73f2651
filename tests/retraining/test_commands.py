"""A command that is alone: ended in time, ended by force, or still there when its scheduler is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from safeguards.core.errors import AlreadyRunning, SafeguardError
from safeguards.retraining import Commands

WAITS = ["sh", "-c", "echo $$ > pid; exec sleep 60"]
TOLD = ["sh", "-c", "trap 'exit 143' TERM; echo $$ > pid; while :; do sleep 0.01; done"]


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 100
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.chdir(tmp_path)
    return Commands(tmp_path / "schedule")


def test_its_exit_code_and_its_words(commands: Commands) -> None:
    assert commands.run("audit/1", ["sh", "-c", "echo said; echo wrong >&2; exit 7"]) == 7
    assert commands.run("audit/1", ["python", "-c", "print('again')"]) == 0
    assert (commands.folder / "audit_2f_1.log").read_text() == "said\nwrong\nagain\n"
    assert not commands.is_running("audit/1")


def test_what_cannot_be_run_is_told(commands: Commands) -> None:
    with pytest.raises(SafeguardError, match="'no such word' cannot be run: No such file"):
        commands.run("audit", ["no such word"])
    assert not commands.is_running("audit")


def began(commands: Commands, words: list[str]) -> tuple[threading.Thread, list[int | None]]:
    ended: list[int | None] = []
    thread = threading.Thread(target=lambda: ended.append(commands.run("audit", words)))
    thread.start()
    until(Path("pid").exists)
    return thread, ended


def test_it_is_alone_and_is_ended_when_it_takes_too_long(commands: Commands) -> None:
    thread, ended = began(commands, WAITS)
    other = Commands(commands.folder)
    assert other.is_running("audit")
    with pytest.raises(AlreadyRunning, match="audit is still running"):
        other.run("audit", ["true"])
    assert commands.end_all(patience=0.0) == ["audit"]
    thread.join()
    assert ended == [None]
    assert other.run("audit", ["true"]) == 0
    assert commands.run("audit", ["touch", "begun late"]) is None  # nothing begins after the end
    assert not Path("begun late").exists()


def test_what_ends_in_time_is_not_ended(commands: Commands) -> None:
    thread, ended = began(commands, ["sh", "-c", "echo $$ > pid; while [ ! -e go ]; do sleep 0.01; done; exit 3"])
    threading.Timer(0.1, Path("go").touch).start()
    assert commands.end_all(patience=30.0) == []
    thread.join()
    assert ended == [3]


@pytest.mark.parametrize("words", [WAITS, TOLD])
def test_what_is_told_to_end_together_with_its_scheduler_has_not_come_to_its_end(
    commands: Commands, words: list[str]
) -> None:
    thread, ended = began(commands, words)
    until(Path("pid").read_text)
    closing = threading.Thread(target=lambda: ended.append(commands.end_all(patience=60.0) == []))
    closing.start()
    until(lambda: commands._closed)
    os.kill(int(Path("pid").read_text()), signal.SIGTERM)
    for one in (thread, closing):
        one.join()
    assert sorted(map(str, ended)) == ["None", "True"]


def test_what_is_told_to_end_by_another_has_ended(commands: Commands) -> None:
    thread, ended = began(commands, WAITS)
    until(Path("pid").read_text)
    os.kill(int(Path("pid").read_text()), signal.SIGTERM)
    thread.join()
    assert ended == [-signal.SIGTERM]


def test_the_lock_is_the_commands_own(commands: Commands) -> None:
    """The scheduler is killed, the command goes on, and no other begins beside it."""
    child = os.fork()
    if child == 0:
        try:
            commands.run("audit", WAITS)
        finally:
            os._exit(0)
    until(lambda: Path("pid").exists() and Path("pid").read_text())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert commands.is_running("audit")
    os.kill(int(Path("pid").read_text()), signal.SIGKILL)
    until(lambda: not commands.is_running("audit"))
