"""Trials as groups of processes: each way to end becomes a reason, and no process stays."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from safeguards.core.errors import ConfigurationError, TrialFailed
from safeguards.search import Torchrun, processes_of, without_secrets_of
from safeguards.search.line import ADDRESS
from safeguards.search.members import marked
from safeguards.search.torchrun import Heard

ROOT = Path(__file__).resolve().parents[2]
TRIAL = str(Path(__file__).with_name("trial.py"))


def environment(**more):
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def run(what, folder, *, prune=lambda *_: False, processes=2, seconds=200.0, env=None, **arguments):
    """One trial of `tests.search.trial`; afterwards nothing of it may be left."""
    job = Torchrun(command=(TRIAL, what), processes=processes, seconds=seconds, environment=env or environment())
    try:
        return job.run([json.dumps({"where": str(folder), **arguments})], folder, prune)
    finally:
        assert not left_of(folder)


def left_of(folder):
    """The processes of the trial that was told to work in this folder; others may have trials of their own."""
    every = [int(place.name) for place in Path("/proc").glob("[0-9]*")]
    told = json.dumps({"where": str(folder)})[:-1]
    return [pid for pid in every if any(word.startswith(told) for word in command_of(pid))]


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_trial_that_ends_well_tells_what_it_found(tmp_path):
    password = "hun/ter2"
    address = "postgresql://me:hun%2Fter2@host/db"
    secret = {"DB": address, "ONLY": password, "OTHER": f"x://me:{password}@y", "PGPASSWORD": password, "KEPT": "hunt"}
    ending = run("environment", tmp_path, env=without_secrets_of(address, environment(**secret)))
    assert (ending.state, ending.values, ending.violations) == ("complete", {"score": 0.5}, {"toy/accuracy": -0.5})
    given = [json.loads((tmp_path / f"environment{rank}").read_text()) for rank in (0, 1)]
    assert [one["KEPT"] for one in given] == ["hunt", "hunt"]
    assert [one["MASTER_ADDR"] for one in given] == ["127.0.0.1", "127.0.0.1"]
    assert not [name for one in given for name, value in one.items() if password in value or "hun%2Fter2" in value]
    assert not Path(given[0][ADDRESS]).exists()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("die", "a process was killed by signal SIGKILL"),
        ("silent", "is TrialReporter among the callbacks"),
        ("broken", r"ValueError: postgresql://\[redacted\]@host is no shape"),
        ("finished_and_died", "ended with exit code 1"),
    ],
)
def test_a_trial_that_does_not_has_a_reason(tmp_path, what, reason):
    with pytest.raises(TrialFailed, match=reason):
        run(what, tmp_path)
    assert (tmp_path / "log.txt").is_file()


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        (["failed: first", "failed: second"], "first"),
        (["complete: first", "failed: second"], "second"),
        (["pruned: first", "failed: second"], "first"),
    ],
)
def test_of_what_several_ranks_tell_the_first_cause_stands(said, stands):
    heard = Heard(lambda *_: False)
    for one in said:
        state, reason = one.split(": ")
        heard.answer({"ended": {"state": state, "reason": reason, "values": {}, "violations": {}, "verdicts": []}})
    assert heard.ending.reason == stands


def test_a_trial_that_takes_too_long_is_ended(tmp_path):
    with pytest.raises(TrialFailed, match="longer than 3 seconds"):
        run("wait", tmp_path, seconds=3.0)


def test_a_trial_of_a_search_that_ends_waits_for_no_answer_and_has_time_to_close_what_is_open(tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("told", tmp_path, prune=interrupted)
    assert sorted(path.name for path in tmp_path.glob("closed*")) == ["closed0", "closed1"]


def test_when_the_search_is_killed_its_trial_ends_too(tmp_path):
    """With no word to anybody, as by a system without memory; two workers and their children are deaf to signals."""
    code = "import sys, pathlib, tests.search.test_torchrun as it; it.run('hang', pathlib.Path(sys.argv[1]))"
    search = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=environment())
    files = [tmp_path / "pids0", tmp_path / "pids1"]
    try:
        wait_until(lambda: all(file.exists() and file.read_text() for file in files))
        pids = [int(pid) for file in files for pid in file.read_text().split()]
        assert [lives(pid) for pid in pids] == [True] * 4
        assert len(set(pids) & set(left_of(tmp_path))) == 2
    finally:
        search.kill()
        search.wait()
    wait_until(lambda: not any(map(lives, pids)))
    wait_until(lambda: not left_of(tmp_path))


def wait_until(so, seconds=150.0):
    until = time.monotonic() + seconds
    while not so() and time.monotonic() < until:
        time.sleep(0.1)
    assert so()


def test_marks_are_found_in_whatever_was_started():
    mark = f"MARK=some {time.time()}"
    name, value = mark.split("=")
    code = "import subprocess; subprocess.run(['sleep', '100'])"
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, name: value}, start_new_session=True)
    try:
        until = time.monotonic() + 90
        while len(marked(mark)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(marked(mark)) == 2
        assert parent.pid in marked(mark)
        assert marked(f"{mark}x") == marked("MARK=some") == []
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


@pytest.mark.parametrize(("wrong", "said"), [({"processes": 0}, "processes=0"), ({"seconds": 0.0}, "seconds=0.0")])
def test_a_wrong_argument_is_told_where_it_enters(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        Torchrun(command=("x",), **wrong)


@pytest.mark.parametrize("devices", ["auto", -1, 0, []])
def test_processes_that_nobody_knows_are_one_clear_line(devices):
    with pytest.raises(ConfigurationError, match=r"trainer\.devices is .*; write their number"):
        processes_of({"trainer": {"devices": devices}})


@pytest.mark.parametrize(("devices", "processes"), [(2, 2), ([0, 1, 2], 3)])
def test_a_trial_has_the_processes_of_its_training_run(devices, processes):
    assert Torchrun.of({"trainer": {"devices": devices}}, command=("train.py",)).processes == processes
