"""Guards switched off one at a time, in a copy of the project: the tests named beside each must then fail.

    python -m tests.mutants                 # all of them, 40 minutes
    python -m tests.mutants core "looks"    # those whose file or words hold one of these

A mutant is caught where its tests pass without it and fail with it.

Exit codes: 0 every mutant was caught, 1 some were not, 2 a mutant no longer fits the code.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Self

import yaml

__all__ = ["Mutant", "known"]

ROOT = Path(__file__).parents[2]
LISTS = Path(__file__).parent
COPIED = ("benchmarks", "conf", "pipelines", "safeguards", "tests")
LONGEST_SECONDS = 400
FAILED = 1  # pytest's exit code when tests ran and some failed
CAUGHT = "caught"
WORKERS = 2 * len(os.sched_getaffinity(0))  # tests that start processes wait for most of their time
HEAVY = (
    "pytest",
    "hypothesis",
    "pytorch_lightning",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna",
    "evidently",
    "fairlearn.metrics",
    "scipy.stats",
    "plotly",
)
QUIET = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One guard switched off: what that would mean, where, the code before and after, and who must notice."""

    topic: str
    says: str
    file: str
    was: str
    becomes: str
    tests: str

    def fits(self, root: Path = ROOT) -> bool:
        """Whether the code to change stands there exactly once."""
        return (root / self.file).read_text().count(self.was) == 1

    def put_into(self, text: str) -> str:
        """The file's text with the guard switched off."""
        return text.replace(self.was, self.becomes)


def known() -> list[Mutant]:
    """Every mutant, in the order of the lists."""
    return [
        Mutant(topic=path.stem, **entry)
        for path in sorted(LISTS.glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text())
    ]


def main(words: Sequence[str]) -> int:
    """Run the tests of every mutant that is asked for; prints a line for each."""
    asked = [one for one in known() if not words or any(word in f"{one.topic} {one.says}" for word in words)]
    if misfits := [one for one in asked if not one.fits()]:
        print(*(f"{one.file} has not once: {one.was!r} ({one.says})" for one in misfits), sep="\n")
        return 2
    with ExitStack() as open_, ThreadPoolExecutor(WORKERS) as pool:
        bench = SimpleQueue[Worker]()
        for _ in range(min(WORKERS, len(asked))):
            bench.put(open_.enter_context(Worker()))
        answers = [pool.submit(_caught, one, bench, f"{number}/{len(asked)}") for number, one in enumerate(asked, 1)]
        caught = sum(answer.result() for answer in answers)
    print(f"{caught} of {len(asked)} caught")
    return 0 if caught == len(asked) else 1


def _caught(mutant: Mutant, bench: SimpleQueue[Worker], place: str) -> bool:
    worker = bench.get()
    try:
        answer = worker.answer(mutant)
    finally:
        bench.put(worker)
    print(f"{place} {answer}: {mutant.topic}: {mutant.says}", flush=True)
    return answer == CAUGHT


def _inherited() -> dict[str, str]:
    """Without what is meant for the pytest that may have started this."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


class Worker:
    """A copy of the project, and a process in it that runs tests."""

    def __enter__(self) -> Self:
        self._root = Path(tempfile.mkdtemp(prefix="mutants-"))
        for name in COPIED:
            shutil.copytree(ROOT / name, self._root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.glob("[A-Za-z]*.*"):
            if path.is_file():
                shutil.copy(path, self._root)
        self._times = count(int(time.time()) + 1)
        self._pass: dict[str, bool] = {}
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("serving.py")), *HEAVY],
            cwd=self._root,
            env={**_inherited(), **QUIET, "PYTHONPATH": str(self._root), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()
        shutil.rmtree(self._root, ignore_errors=True)

    def answer(self, mutant: Mutant) -> str:
        """`CAUGHT`, or what happened instead. Tests that fail anyway catch nothing."""
        if mutant.tests not in self._pass:
            self._pass[mutant.tests] = self._tested(mutant.tests) == 0
        if not self._pass[mutant.tests]:
            return "NOT TOLD, its tests fail without it"
        path = self._root / mutant.file
        sound = path.read_text()
        self._write(path, mutant.put_into(sound))
        try:
            code = self._tested(mutant.tests)
        finally:
            self._write(path, sound)
        return CAUGHT if code == FAILED else f"NOT CAUGHT (pytest's exit code {code})"

    def _write(self, path: Path, text: str) -> None:
        """With a time of its own: what python has compiled counts for a file of the same second and size."""
        path.write_text(text)
        now = next(self._times)
        os.utime(path, (now, now))

    def _tested(self, tests: str) -> int | None:
        """The exit code of pytest; None where it took too long, which no test noticed."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        arguments = ["-q", "-x", "-p", "no:cacheprovider", *shlex.split(tests)]
        print(json.dumps({"arguments": arguments, "seconds": LONGEST_SECONDS}), file=self._server.stdin, flush=True)
        code: int | None = json.loads(self._server.stdout.readline())
        return code
