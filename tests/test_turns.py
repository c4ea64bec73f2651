"""Works side by side: one at a time, in turns, each with the seconds of its own turns; and nothing waits for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks import turns
from benchmarks.turns import HandOn, side_by_side

Task = tuple[Path, str, float]


def written(task: Task, hand_on: HandOn) -> str:
    """Says in one file when it begins and ends each of three turns."""
    path, name, pause = task
    for _ in range(3):
        with path.open("a") as file:
            print("+", name, file=file)
            file.flush()
            time.sleep(pause)
            print("-", name, file=file)
        hand_on()
    return name


def gone(task: str, hand_on: HandOn) -> None:
    if task == "dies":
        os._exit(1)
    if task == "hangs":
        time.sleep(60)


def test_one_works_at_a_time_and_each_has_the_seconds_of_its_turns(tmp_path: Path) -> None:
    path = tmp_path / "turns"
    with side_by_side(written, places=2) as work:
        first, second = work([(path, "a", 0.2), (path, "b", 0.01)])
    turn = ["+ {0}", "- {0}"]
    assert path.read_text().splitlines() == [line.format(name) for _ in range(3) for name in "ab" for line in turn]
    assert (first.found, second.found) == ("a", "b")
    assert first.seconds >= 0.6 > second.seconds >= 0.03
    assert first.processor_seconds < 0.3


def test_a_process_that_ends_is_an_error() -> None:
    with side_by_side(gone, places=2) as work, pytest.raises(RuntimeError, match="worked on dies has ended"):
        work(["fine", "dies"])


def test_a_turn_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with side_by_side(gone, places=1) as work:
        work(["fine"])
        monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.1)
        with pytest.raises(TimeoutError, match="a turn of hangs"):
            work(["hangs"])


def test_threads_of_the_processes_do_not_spin_and_this_process_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    with side_by_side(policy, places=1) as work:
        assert work([None])[0].found == "PASSIVE"
    assert os.environ["OMP_WAIT_POLICY"] == "active"


def policy(_: None, __: HandOn) -> str:
    return os.environ["OMP_WAIT_POLICY"].upper()
