"""The search inside a retraining: the champion's values first, then the best of the search that it came from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safeguards.core.errors import ConfigurationError
from safeguards.retraining.notify import without_webhook
from safeguards.search import (
    Book,
    Policy,
    Search,
    Space,
    Torchrun,
    Trials,
    check_edges,
    declared_limits,
    reporting,
)

__all__ = ["SearchFor", "searched", "values_at"]

Plain = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SearchFor:
    """What to search for before a challenger is trained; the keys are those of conf/search.yaml.

    ``seconds`` limits each trial. Every limit of the training run's safeguards is a constraint.
    """

    space: Mapping[str, Mapping[str, Any]]
    objective: Mapping[str, Literal["minimize", "maximize"]]
    trials: int = 20
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int | None = 0
    seconds: float | None = None
    inconclusive_is_feasible: bool = False

    def __post_init__(self) -> None:
        Space.read(self.space)
        if len(self.objective) != 1 or self.trials < 1:
            raise ConfigurationError(f"search: expected one objective and 1 trial or more, not {self.objective!r}")


def searched(
    asked: SearchFor,
    job: Plain,
    folder: Path,
    *,
    storage: str,
    name: str,
    command: Sequence[str],
    read: Callable[[Sequence[Path]], object],
    champion: Plain | None = None,
    earlier: str | None = None,
) -> Plain:
    """The best feasible values for a training run, none where no trial keeps every limit; a study goes on where it was.

    ``command`` is what python is told to train with a further ``--config=FILE``; ``read`` parses such files, and what
    it raises for an edge of the space goes through before the first trial. ``champion`` is the configuration that the
    champion was trained with, ``earlier`` the study of its own search: both are tried first.
    """
    constraints = declared_limits(job["trainer"]["callbacks"] or [])
    space, policy = Space.read(asked.space), Policy(inconclusive_is_feasible=asked.inconclusive_is_feasible)
    train = reporting(job, asked.objective, constraints, policy=policy)
    check_edges(train, space, read)
    search = Search(
        space=space,
        objectives=asked.objective,
        constraints=constraints,
        policy=policy,
        storage=storage,
        name=name,
        sampler=asked.sampler,
        pruner=asked.pruner,
        seed=asked.seed,
    )
    known = _begin_warm(search, values_at(champion or {}, asked.space), earlier)
    torchrun = Torchrun.of(train, command=command, seconds=asked.seconds, environment=without_webhook(os.environ))
    trials = Trials(job=train, folder=folder, torchrun=torchrun, book=Book.of(search, train))
    with trials.book.kept() as heard:
        result = search.run(trials.train, trials=asked.trials, told=heard)
    best = result.best[0] if result.best else None
    return {
        "study": name,
        "tried_first": {"champion": known, "study": earlier},
        "trials": result.ended,
        "best": None if best is None else best.number,
        "parameters": {} if best is None else dict(best.parameters),
    }


def _begin_warm(search: Search, champion: Plain, earlier: str | None) -> Plain:
    """Queue what is known: the champion's values, as far as the space has them, then the best of its own search."""
    known = search.space.part_within(champion)
    if known:
        search.enqueue(known)
    if earlier is not None and earlier != search.study.study_name:
        search.learn_from(earlier)
    return known


def values_at(configuration: Plain, keys: Mapping[str, Any]) -> dict[str, Any]:
    """What a nested configuration has at these dotted keys; those that it lacks are left out."""
    found: dict[str, Any] = {}
    for key in keys:
        node: Any = configuration
        for step in key.split("."):
            node = node.get(step) if isinstance(node, Mapping) else _item(node, step)
        if node is not None:
            found[key] = node
    return found


def _item(node: Any, step: str) -> Any:
    return node[int(step)] if isinstance(node, list) and step.isdigit() and int(step) < len(node) else None
