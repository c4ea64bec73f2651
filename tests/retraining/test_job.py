"""A job that is killed at any point, run again, ends the same."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from safeguards.core.errors import AlreadyRunning, ConfigurationError
from safeguards.retraining import Job, only_one

KEY = {"model": "risk"}
WRITES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


def three_steps(folder: Path, *, begun: list[str] | None = None, given: Mapping[str, object] | None = None) -> str:
    """Two that write files and one whose effect is elsewhere; the key in the end says what all of them were."""
    job = Job(folder / "job", key=KEY, told=(begun if begun is not None else []).append)

    def take(place: Path) -> dict[str, object]:
        (place / "deep").mkdir()
        (place / "deep" / "rows.txt").write_text("1 2 3")
        return {"rows": 3, "share": 0.1}

    def train(place: Path) -> dict[str, object]:
        (place / "weights.txt").write_text(str(rows["rows"]))
        return {}

    def promote(place: Path) -> dict[str, object]:
        (folder / "champion.txt").write_text(job.key)
        return {"promoted": True}

    rows = job.step("take", take, given=given)
    job.step("train", train)
    job.step("promote", promote)
    return job.key


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def forked(work: Callable[[], object]) -> int:
    """How a child that does the work ends: 0, or the negative number of the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(number: int, folder: Path) -> int:
    """Three steps, killed as the file system is about to be touched for the ``number``-th time."""
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in WRITES and str(arguments[0]).startswith(str(folder)):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        sys.addaudithook(count)
        three_steps(folder)

    return forked(work)


def test_killed_at_any_point_and_run_again_it_ends_the_same(tmp_path: Path) -> None:
    three_steps(tmp_path / "whole")
    wanted = state(tmp_path / "whole")
    number, ended = 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        ended = killed_at(number, folder)
        three_steps(folder)
        assert state(folder) == wanted, f"killed at {number}"
    assert ended == 0
    assert number > 30


def test_killed_again_while_it_recovers(tmp_path: Path) -> None:
    three_steps(tmp_path / "whole")
    for number in range(1, 45, 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        killed_at(number, folder)
        killed_at(3, folder)
        three_steps(folder)
        assert state(folder) == state(tmp_path / "whole"), f"killed at {number}"


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    begun: list[str] = []
    first = three_steps(tmp_path, begun=begun)
    assert begun == ["take", "train", "promote"]
    assert three_steps(tmp_path, begun=begun) == first
    assert len(begun) == 3


@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("01-take/deep/rows.txt", ["take", "train", "promote"]),
        ("01-take/step.json", ["take", "train", "promote"]),
        ("02-train/weights.txt", ["train", "promote"]),
        ("03-promote/step.json", ["promote"]),
    ],
)
@pytest.mark.parametrize("harm", ["changed", "gone", "torn"])
def test_a_step_whose_files_are_not_those_it_left_is_done_again(
    tmp_path: Path, file: str, again: list[str], harm: str
) -> None:
    three_steps(tmp_path)
    wanted, path, begun = state(tmp_path), tmp_path / "job" / file, list[str]()
    content = path.read_bytes()
    path.unlink() if harm == "gone" else path.write_bytes(b"{}" if harm == "changed" else content[: len(content) // 2])
    three_steps(tmp_path, begun=begun)
    assert begun == again
    assert state(tmp_path) == wanted


def test_an_answer_cut_at_many_lengths_is_given_again(tmp_path: Path) -> None:
    three_steps(tmp_path)
    wanted, path = state(tmp_path), tmp_path / "job" / "02-train" / "step.json"
    whole = path.read_bytes()
    for length in range(0, len(whole), 4):
        path.write_bytes(whole[:length])
        begun: list[str] = []
        three_steps(tmp_path, begun=begun)
        assert (begun, state(tmp_path) == wanted) == (["train", "promote"], True), length


def test_a_file_that_nobody_left_there_counts_as_a_change(tmp_path: Path) -> None:
    begun: list[str] = []
    three_steps(tmp_path)
    (tmp_path / "job" / "02-train" / "planted.txt").write_text("")
    three_steps(tmp_path, begun=begun)
    assert begun == ["train", "promote"]
    assert not (tmp_path / "job" / "02-train" / "planted.txt").exists()


def test_other_inputs_do_all_that_follows_anew(tmp_path: Path) -> None:
    begun: list[str] = []
    first = three_steps(tmp_path, given={"fingerprint": "a"})
    second = three_steps(tmp_path, begun=begun, given={"fingerprint": "b"})
    assert (begun, first == second) == (["take", "train", "promote"], False)


def test_a_step_that_fails_is_not_done_and_leaves_its_cause(tmp_path: Path) -> None:
    def fail(place: Path) -> dict[str, object]:
        (place / "half.txt").write_text("half")
        raise ValueError("the cause")

    with pytest.raises(ValueError, match="the cause"):
        Job(tmp_path, key=KEY).step("train", fail)
    seen = Job(tmp_path, key=KEY).step("train", lambda place: {"files": sorted(map(str, place.iterdir()))})
    assert seen == {"files": []}


def test_an_answer_is_what_another_attempt_reads(tmp_path: Path) -> None:
    def answer() -> object:
        return Job(tmp_path, key=KEY).step("take", lambda _: {"pair": (1, 2), "name": "\u00fc"})

    assert answer() == answer() == {"pair": [1, 2], "name": "\u00fc"}


def test_the_second_at_once_steps_back(tmp_path: Path) -> None:
    with only_one(tmp_path, "risk/north"):

        def second() -> None:
            with (
                pytest.raises(AlreadyRunning, match="another risk/north is at work"),
                only_one(tmp_path, "risk/north"),
            ):
                pass
            with only_one(tmp_path, "risk"):
                os.kill(os.getpid(), signal.SIGUSR1)

        assert forked(second) == -signal.SIGUSR1
    with only_one(tmp_path, "risk/north"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    def die_with_it() -> None:
        with only_one(tmp_path, "risk"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert forked(die_with_it) == -signal.SIGKILL
    with only_one(tmp_path, "risk"):
        pass


def test_a_lock_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError), only_one(tmp_path, ""):
        pass
