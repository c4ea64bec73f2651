"""Several hosts on one study, searches that are killed, and a server that goes away: on a real PostgreSQL."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy

from safeguards.search import Ending, Torchrun
from tests.helpers.launch import launch
from tests.search.gate import Gate
from tests.search.server import MARKS, fresh_database
from tests.search.test_torchrun import TRIAL, environment
from tests.search.told import complete, search

OUTAGE_SECONDS = 20.0
TRIALS = 10
QUEUED = [{"rate": 0.25, "kind": "a"}, {"rate": 0.75, "kind": "b", "more": 2}]

pytestmark = MARKS


@pytest.fixture
def fresh():
    with fresh_database() as address:
        yield address


def work(address, folder):
    """One of three hosts. The last is killed in its first trial; the others are in theirs until then."""
    from safeguards.search import storage

    rank, killed = int(os.environ["RANK"]), Path(folder, "killed")
    socket.gethostname = lambda: f"host-{rank}"
    storage.HEARTBEAT_SECONDS, storage.GRACE_SECONDS = 1, 10
    seen = []

    def train(task):
        seen.append([task.number, dict(task.parameters)])
        if rank == 2:
            killed.write_text(json.dumps(seen))
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for(killed)
        return complete(task.parameters["rate"])

    import optuna  # noqa: F401 - what takes long comes before they begin together

    Path(folder, f"ready{rank}").touch()
    wait_for(*[Path(folder, f"ready{other}") for other in range(3)])
    one = search(address, seed=rank)
    for values in QUEUED:
        one.enqueue(values)
    result = one.run(train, trials=TRIALS)
    return {"ended": result.ended, "best": result.best[0].number, "seen": seen, "identity": one.story().identity}


def wait_for(*files, seconds=150.0):
    until = time.monotonic() + seconds
    while not all(file.exists() for file in files) and time.monotonic() < until:
        time.sleep(0.02)
    assert all(file.exists() for file in files)


def test_three_hosts_begin_a_study_at_once_and_one_is_killed(fresh, tmp_path):
    """Nobody has made the tables yet; each queues the same values; no trial is lost and none is trained twice."""
    told = launch(f"{__file__}:work", world=3, check=False, address=fresh, folder=str(tmp_path))
    assert [one.returncode for one in told] == [0, 0, -signal.SIGKILL], [one.stderr[-2000:] for one in told]
    first, second = told[0].value, told[1].value
    assert first["ended"] == second["ended"] == TRIALS
    assert (first["best"], first["identity"]) == (second["best"], second["identity"])
    ((_, lost),) = json.loads((tmp_path / "killed").read_text())
    trained = first["seen"] + second["seen"]
    assert len(trained) == len({number for number, _ in trained}) == TRIALS
    values = [values for _, values in trained]
    assert values.count(lost) == 1, "what was lost is trained by another host, once"
    assert [values.count(one) for one in QUEUED] == [1, 1]


def killed_search(address, folder):
    """Its third trial kills it."""
    told = {0: ("die", {}), 1: ("finished", {}), 2: ("kill", {"search": os.getpid()})}

    def train(task):
        what, more = told[task.number]
        place = Path(folder, str(task.number))
        job = Torchrun(command=(TRIAL, what), processes=2, environment=environment())
        return job.run([json.dumps({"where": str(place), **more})], place, task.prune)

    search(address, objectives={"score": "maximize"}, constraints=["toy/accuracy"]).run(train, trials=3)


def test_a_worker_killed_a_search_killed_and_the_server_gone_for_20_seconds(fresh, tmp_path):
    """Of three trials the first fails, the second is told, the third is begun again and outlives the outage."""
    url = sqlalchemy.make_url(fresh)
    with Gate(url.host, url.port) as gate:
        beyond = url.set(host="127.0.0.1", port=gate.port).render_as_string(hide_password=False)
        (dead,) = launch(f"{__file__}:killed_search", world=1, check=False, address=beyond, folder=str(tmp_path))
        assert dead.returncode == -signal.SIGKILL, dead.stderr[-2000:]

        def train(task):
            gate.is_open = False
            back = threading.Timer(OUTAGE_SECONDS, lambda: setattr(gate, "is_open", True))
            back.start()
            began = time.monotonic()
            assert task.prune(1, 0.5) is False
            assert time.monotonic() - began > OUTAGE_SECONDS - 1.0, "the server was not gone"
            back.join()
            return Ending(state="complete", values={"score": 0.9}, violations={"toy/accuracy": -0.1})

        again = search(beyond, objectives={"score": "maximize"}, constraints=["toy/accuracy"])
        result = again.run(train, trials=3)
        trials = again.study.get_trials(deepcopy=False)
    assert result.ended == 3
    assert list(result.reasons) == [0]
    assert result.reasons[0].startswith("a process was killed by signal SIGKILL")
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert trials[3].params == trials[2].params
    assert trials[3].intermediate_values == {1: 0.5}
