"""What a study has been asked before: a search goes on only where it means the same, and may learn from another."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError
from safeguards.search.story import IDENTITY, read_story

if TYPE_CHECKING:
    from optuna import Study

    from safeguards.search.result import Result

__all__ = ["agree_with_earlier", "begin", "quiet", "read_earlier"]

ASKED = "safeguards"
BEGINNING_SECONDS, PAUSE_SECONDS = 5.0, 0.1


def begin(study: Study, asked: Mapping[str, Any]) -> None:
    """Note in a new study what is asked of it, and by what it is known as long as it lives."""
    study.set_user_attr(IDENTITY, uuid.uuid4().hex)
    study.set_user_attr(ASKED, dict(asked))


def agree_with_earlier(study: Study, asked: Mapping[str, Any]) -> None:
    """Of a study that is there already the same must be asked.

    Earlier trials lack a constraint that is new, and Optuna would take them for feasible. Another search may have made
    the study a moment ago, and is about to note what it asks. Raises `ConfigurationError`.
    """
    until = time.monotonic() + BEGINNING_SECONDS
    while (before := study.user_attrs.get(ASKED)) is None and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
    if before is None:
        begin(study, asked)
    elif before != asked:
        raise ConfigurationError(
            f"the study {study.study_name!r} asked for {before}, not for {asked}: give the search another name"
        )


def read_earlier(study: Study, name: str, *, unmeasured: float) -> Result:
    """What another study in the same storage found, under its own constraints.

    Raises `ConfigurationError` for one that is not there or that no search has made.
    """
    import optuna

    names = optuna.study.get_all_study_names(study._storage)
    if name not in names:
        raise ConfigurationError(f"there is no study {name!r} to learn from; there are {', '.join(sorted(names))}")
    with quiet():
        other = optuna.load_study(study_name=name, storage=study._storage)
    asked = other.user_attrs.get(ASKED)
    if asked is None:
        raise ConfigurationError(f"the study {name!r} was not made by a Search: what is feasible in it is not known")
    objectives, constraints = dict(asked["objectives"]), asked["constraints"]
    return read_story(other, objectives=objectives, constraints=constraints, unmeasured=unmeasured).result


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna's notes on each trial are replaced by the result; what it calls experimental is what is tested here."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
