"""Trials over the configuration of a training run, each told by hand where it would be trained."""

from pathlib import Path

import yaml

from safeguards.core.errors import TrialFailed
from safeguards.search import Book, Policy, Torchrun, Trials, reporting
from tests.search.told import complete, search

MODEL = {"class_path": "Net", "init_args": {"width": 4}}


def trials(folder, *, logger=False, storage=None, **more):
    """Of a search in ``storage``; ``more`` are further keys of the training run."""
    training = {"model": MODEL, "trainer": {"devices": 1, "callbacks": None, "logger": logger}, **more}
    job = reporting(training, ["accuracy"], ["toy/gap"], policy=Policy())
    book = Book.of(search(storage), job)
    return Trials(job=job, folder=folder, torchrun=Torchrun.of(job, command=("none",)), book=book)


def told_by_hand(monkeypatch, crashes=()):
    """The configurations that are trained from now on; those whose turn is in ``crashes`` fail."""
    seen = []

    def run(self, arguments, folder, prune):
        (file,) = arguments
        seen.append(yaml.safe_load(Path(file.removeprefix("--config=")).read_text()))
        if len(seen) in crashes:
            raise TrialFailed("a process was killed")
        return complete(0.5 + len(seen) / 100)

    monkeypatch.setattr(Torchrun, "run", run)
    return seen


def run(one, count):
    """Train until the study holds so many."""
    with one.book.kept() as heard:
        return one.book.search.run(one.train, trials=count, told=heard)
