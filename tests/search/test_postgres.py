"""A study that several searches share, and its server gone for a while: on a real PostgreSQL."""

import importlib.util
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.search.gate import Gate
from tests.search.told import complete, search

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = os.environ.get("SAFEGUARDS_POSTGRES_URL", "")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not ADDRESS, reason="SAFEGUARDS_POSTGRES_URL names no server"),
    pytest.mark.skipif(not importlib.util.find_spec("psycopg"), reason="psycopg is not installed"),
]


@pytest.fixture
def name():
    return f"test-{uuid.uuid4()}"


def work(name, seed):
    """One of several searches: trials of a tenth of a second each, 12 for all of them."""
    seen = []

    def train(task):
        time.sleep(0.1)
        seen.append(task.number)
        return complete(task.parameters["rate"])

    result = search(ADDRESS, name=name, seed=seed).run(train, trials=12)
    print(result.ended, result.best[0].number, *seen)


def test_three_searches_share_a_study_and_no_trial_is_counted_twice(name):
    search(ADDRESS, name=name)
    code = "import sys, tests.search.test_postgres as it; it.work(sys.argv[1], int(sys.argv[2]))"
    command = [sys.executable, "-c", code, name]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    searches = [
        subprocess.Popen([*command, str(seed)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for seed in (1, 2, 3)
    ]
    told = [one.communicate(timeout=120)[0].split() for one in searches]
    assert [one.returncode for one in searches] == [0, 0, 0]
    assert {tuple(words[:2]) for words in told} == {("12", told[0][1])}
    trained = [int(number) for words in told for number in words[2:]]
    assert len(trained) == len(set(trained)) == 12


def test_a_server_that_goes_in_mid_trial_and_comes_back_loses_nothing(name):
    url = make_url(ADDRESS)
    with Gate(url.host, url.port or 5432) as gate:
        beyond = url.set(host="127.0.0.1", port=gate.port).render_as_string(hide_password=False)
        one = search(beyond, name=name)

        def train(task):
            gate.is_open = False
            back = threading.Timer(3.0, lambda: setattr(gate, "is_open", True))
            back.start()
            began = time.monotonic()
            assert task.prune(1, 0.5) is False
            assert time.monotonic() - began > 1.0, "the server was not gone"
            back.join()
            return complete()

        result = one.run(train, trials=2)
        trials = one.study.get_trials()
    assert (result.ended, result.reasons) == (2, {})
    assert [(trial.number, trial.state.name, trial.intermediate_values) for trial in trials] == [
        (0, "COMPLETE", {1: 0.5}),
        (1, "COMPLETE", {1: 0.5}),
    ]
