"""The book of a search: MLflow, where its trainings are kept, with a run for the study above those of the trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safeguards.search.album import pictures_of

if TYPE_CHECKING:
    from safeguards.search.result import Result
    from safeguards.search.study import Search
    from safeguards.tracking import StudyTracker

__all__ = ["Book"]

KEEPER = "MLflowTracker"
SHARED = ("experiment_name", "tracking_uri")


@dataclass(frozen=True, kw_only=True)
class Book:
    """Of a search whose training run logs to an `MLflowTracker`; of any other it stays empty."""

    search: Search
    tracker: StudyTracker | None

    @classmethod
    def of(cls, search: Search, training: Mapping[str, Any]) -> Book:
        """In the store and the experiment of the training run's own tracker."""
        from safeguards.tracking import StudyTracker

        settings = next((one.get("init_args") or {} for one in _keepers(training)), None)
        if settings is None:
            return cls(search=search, tracker=None)
        shared = {name: settings[name] for name in SHARED if settings.get(name) is not None}
        return cls(search=search, tracker=StudyTracker(**shared))

    def marked(self, job: Mapping[str, Any], number: int) -> dict[str, Any]:
        """The trial's configuration with the tags by which the run that it makes is found again."""
        whole: dict[str, Any] = deepcopy(dict(job))
        if self.tracker is not None:
            tags = self.tracker.tags(self.search.story().identity, number)
            for keeper in _keepers(whole):
                settings = keeper.setdefault("init_args", {})
                settings["tags"] = {**(settings.get("tags") or {}), **tags}
        return whole

    def keep(self, *, last: bool = False, more: Mapping[str, bytes] | None = None) -> None:
        """What the study holds now, and ``more`` files by name."""
        if self.tracker is not None:
            self.tracker.keep(self.search.story(), lambda: {**self._files(), **(more or {})}, last=last)

    @contextmanager
    def kept(self, told: Callable[[Result], None] = lambda _: None) -> Iterator[Callable[[Result], None]]:
        """What `Search.run` tells is told on and kept; the run of the study is closed however the search ends."""

        def heard(found: Result) -> None:
            told(found)
            self.keep()

        try:
            yield heard
        finally:
            self.keep(last=True)

    def _files(self) -> dict[str, bytes]:
        return {"result.txt": self.search.result().text().encode(), **pictures_of(self.search)}


def _keepers(training: Mapping[str, Any]) -> list[dict[str, Any]]:
    loggers = training["trainer"].get("logger")
    every = loggers if isinstance(loggers, list) else [loggers]
    return [one for one in every if isinstance(one, dict) and one.get("class_path", "").rpartition(".")[2] == KEEPER]
