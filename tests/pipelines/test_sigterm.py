"""Pipelines that are told to end while they train: they say so, close what is open, and leave no process behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from safeguards.search.members import marked
from safeguards.tracking.syncing import spools_below, sync
from tests.helpers.children import ROOT, SECONDS, surroundings
from tests.pipelines.telling import JOB

CONF = ROOT / "conf"
LINE = "error: told to end (SIGTERM) before it was done"
MOST_SECONDS = 150.0
"""Of a busy machine, starts included; where Lightning's handler hangs, the process group waits half an hour."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    place: Path
    code: int | None
    errors: str
    left: list[int]


def ended(place: Path, words: list[str]) -> Ended:
    """How a pipeline ends that is told to by what it trains, or once it has told of its fourth epoch."""
    command = ["sh", "-c", f'{JOB}=$$ exec "$@"', "sh", sys.executable, "-m", *words]
    given = {"cwd": place, "env": os.environ | surroundings(os.environ) | {SECONDS: "1800"}}
    with (place / "out").open("wb") as out, (place / "errors").open("wb") as errors:
        job = subprocess.Popen(command, **given, stdout=out, stderr=errors)
    try:
        until(lambda: job.poll() is not None or "epoch 4 of" in (place / "out").read_text())
        job.terminate()
        until(lambda: job.poll() is not None)
        until(lambda: not marked(f"{JOB}={job.pid}"))
        errors_told = (place / "errors").read_text()
        return Ended(place=place, code=job.returncode, errors=errors_told, left=marked(f"{JOB}={job.pid}"))
    finally:
        for left in marked(f"{JOB}={job.pid}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        job.kill()
        job.wait()


def until(so: Callable[[], bool]) -> None:
    """Or until much more time has passed than it takes."""
    limit = time.monotonic() + MOST_SECONDS
    while not so() and time.monotonic() < limit:
        time.sleep(0.05)


def training(place: Path, *, data: str, callbacks: Sequence[str] = ()) -> Path:
    """A training with one safeguard, and what tells it to end."""
    whole = yaml.safe_load((CONF / "train.yaml").read_text())
    whole["data"] = {"class_path": data}
    fair = [one for one in whole["trainer"]["callbacks"] if one["class_path"].endswith("FairnessCheck")]
    whole["trainer"] |= {"callbacks": [*fair, *({"class_path": name} for name in callbacks)], "logger": False}
    file = place / "train.yaml"
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    return file


def demo(_: Path) -> list[str]:
    """Two processes, the first of which is told while they train."""
    return ["pipelines.demo", "--data", "diabetes"]


def train(place: Path) -> list[str]:
    """Two processes, the second of which is told alone, once Lightning has set its handler and before any hook."""
    file = training(place, data="tests.pipelines.telling.Second")
    return ["pipelines.train", "fit", f"--config={file}", f"--config={CONF / 'strategy' / 'cpu2.yaml'}"]


def search(place: Path) -> list[str]:
    """It is told while a trial trains."""
    file = training(place, data="DiabetesStudy", callbacks=["tests.pipelines.telling.InTraining"])
    space = {"model.init_args.dropout": {"type": "float", "low": 0.0, "high": 0.5}}
    asked = {"train": [file.name], "space": space, "objectives": {"val_loss": "minimize"}, "trials": 2}
    (place / "search.yaml").write_text(yaml.safe_dump(asked))
    return ["pipelines.search", "--config=search.yaml"]


JOBS: dict[str, Callable[[Path], list[str]]] = {one.__name__: one for one in (demo, train, search)}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Each trains while the processes of another wait for each other."""
    places = {name: tmp_path_factory.mktemp(name) for name in JOBS}
    with ThreadPoolExecutor() as pool:
        every = pool.map(lambda name: ended(places[name], JOBS[name](places[name])), JOBS)
        return dict(zip(JOBS, every, strict=True))


@pytest.mark.parametrize("name", JOBS)
def test_it_ends_with_one_line_and_the_code_of_a_shell_and_no_process_stays(jobs: dict[str, Ended], name: str) -> None:
    job = jobs[name]
    assert job.code == 128 + signal.SIGTERM, job.errors
    assert job.errors.count(LINE) == 1
    assert job.errors.endswith(f"{LINE}\n")
    assert "Traceback" not in job.errors
    assert job.left == []


@pytest.mark.parametrize("name", ["train", "search"])
def test_its_ledger_says_that_it_was_told_to_end(jobs: dict[str, Ended], name: str) -> None:
    (ledger,) = jobs[name].place.glob("**/safeguards/*/verdicts.jsonl")
    verdicts = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert {one["outcome"] for one in verdicts} == {"NOT_EVALUATED"}
    assert verdicts[-1]["reason"] == "the job ended with ToldToEnd: SIGTERM before the first judgement"


def test_its_run_was_killed_once_the_store_has_all(jobs: dict[str, Ended]) -> None:
    for spool in spools_below(jobs["demo"].place):
        assert sync(spool).left is None
    ended = "select value from tags where tags.run_uuid = runs.run_uuid and key = 'safeguards.ended'"
    with sqlite3.connect(jobs["demo"].place / "demo" / "mlflow.db") as store:
        assert store.execute(f"select status, ({ended}) from runs").fetchall() == [("KILLED", "killed")]
