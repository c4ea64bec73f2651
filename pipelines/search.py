"""Search hyperparameters of a training run under the limits of its safeguards.

    python -m pipelines.search --config conf/search.yaml
    python -m pipelines.search --config conf/search.yaml --trials 40

Exit codes: 0 a trial keeps every limit; 4 none does, and the closest are printed; 1 it broke; 2 the configuration is
wrong; 143 SIGTERM ended it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jsonargparse.typing import Path_fr
from tqdm import tqdm

from pipelines.codes import Parser, conclude
from pipelines.told import ends_when_told
from pipelines.train import FIT, read
from safeguards.search import (
    Again,
    Book,
    Policy,
    Result,
    Search,
    Space,
    Torchrun,
    Trials,
    address_of,
    check_edges,
    chosen_limits,
    reporting,
    without_secrets_of,
)

__all__ = ["Settings", "command", "main"]

FEASIBLE, NOTHING_FEASIBLE = 0, 4


@dataclass(kw_only=True)
class Settings:
    """The keys of conf/search.yaml, where each is explained."""

    train: list[Path_fr]
    space: dict[str, dict[str, Any]]
    objectives: dict[str, Literal["minimize", "maximize"]]
    constraints: list[str] | None = None
    inconclusive_is_feasible: bool = False
    end_after_failures: int | None = None
    storage: str | None = None
    name: str = "search"
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int | None = 0
    trials: int = 20
    seconds: float | None = None
    trial_seconds: float | None = None
    retries: int = 2
    enqueue: list[dict[str, Any]] = field(default_factory=list)
    learn_from: str | None = None
    sensitivity: int = 0
    directory: str = "safeguards_runs/search"


def main(arguments: Sequence[str] | None = None) -> int:
    """The steps of a search, in order; its exit code."""
    settings, _ = Parser.read(Settings, "python -m pipelines.search", __doc__, arguments)
    space, storage = Space.read(settings.space), address_of(settings.storage)
    training = read([Path(file.absolute) for file in settings.train])
    constraints = chosen_limits(training["trainer"]["callbacks"] or [], settings.constraints)
    policy = Policy(inconclusive_is_feasible=settings.inconclusive_is_feasible)
    job = reporting(
        training,
        settings.objectives,
        constraints,
        policy=policy,
        end_after_failures=settings.end_after_failures,
    )
    check_edges(job, space, read)
    search = Search(
        space=space,
        objectives=settings.objectives,
        constraints=constraints,
        policy=policy,
        storage=storage,
        name=settings.name,
        sampler=settings.sampler,
        pruner=settings.pruner,
        seed=settings.seed,
        retries=settings.retries,
    )
    for parameters in settings.enqueue:
        search.enqueue(parameters)
    if settings.learn_from is not None:
        search.learn_from(settings.learn_from)
    environment = without_secrets_of(storage, os.environ)
    torchrun = Torchrun.of(job, command=FIT, seconds=settings.trial_seconds, environment=environment)
    folder = Path(settings.directory, settings.name)
    trials = Trials(job=job, folder=folder, torchrun=torchrun, book=Book.of(search, job))
    with _bar(settings.name, settings.trials) as told, trials.book.kept(told) as heard:
        result = search.run(trials.train, trials=settings.trials, seconds=settings.seconds, told=heard)
    print(trials.text(result))
    if result.best and settings.sensitivity:
        again = Again.of(trials, seeds=settings.sensitivity, storage=storage)
        with _bar(f"trial {again.number} again", len(again.variants)) as told:
            found = again.run(told)
        print(f"{found.text()}\nsensitivity: {again.page}")
    return FEASIBLE if result.best else NOTHING_FEASIBLE


@contextmanager
def _bar(name: str, trials: int) -> Iterator[Callable[[Result], None]]:
    """A bar, which shows the results that it is told."""
    with tqdm(total=trials, desc=name, unit="trial") as bar:

        def told(found: Result) -> None:
            bar.n = found.ended
            bar.set_postfix(feasible=len(found.feasible), pruned=found.pruned, failed=len(found.reasons))

        yield told


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    return conclude(main)


if __name__ == "__main__":
    sys.exit(ends_when_told(command))
