"""Whether a process still lives, told from another one that was given its id; and its variables for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from pytorch_lightning.utilities.exceptions import SIGTERMException

from safeguards.core import process
from safeguards.core.process import environment, is_gone, is_here, this_process, was_told_to_end


def test_this_process_lives_here() -> None:
    assert this_process()["pid"] == os.getpid()
    assert is_here(this_process())
    assert not is_gone(this_process())


def test_another_process_with_the_same_id_is_not_it() -> None:
    assert is_gone({**this_process(), "started": "1"})


def test_of_another_host_nobody_knows() -> None:
    elsewhere = {**this_process(), "host": "elsewhere.invalid", "started": "1"}
    assert not is_here(elsewhere)
    assert not is_gone(elsewhere)


@pytest.mark.parametrize("odd", [{"host": None}, {"pid": "x"}, {"pid": None}, {"started": None}])
def test_by_a_record_that_lacks_something_nobody_knows(odd: dict[str, object]) -> None:
    found = {**this_process(), "started": "1"} | odd
    assert not is_gone(found)
    assert not is_gone({name: value for name, value in found.items() if name not in odd})


def test_a_process_that_has_ended_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        known = {**this_process(), "pid": child.pid, "started": process._started(child.pid)}
        assert not is_gone(known)
        child.communicate(b"\n")
    assert is_gone(known)


def test_the_environment_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1")
    monkeypatch.delenv("TWO", raising=False)
    with environment({"ONE": "x", "TWO": "y"}):
        assert (os.environ["ONE"], os.environ["TWO"]) == ("x", "y")
    assert (os.environ["ONE"], os.environ.get("TWO")) == ("1", None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), True),
        (SIGTERMException(), True),
        (SystemExit(128 + signal.SIGTERM), True),
        (SystemExit(128 + signal.SIGINT), True),
        (SystemExit(1), False),
        (SystemExit(), False),
        (RuntimeError("143"), False),
        (None, False),
    ],
)
def test_who_is_told_to_end_is_known_from_who_fails(error: BaseException | None, told: bool) -> None:
    assert was_told_to_end(error) is told
