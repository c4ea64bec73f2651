"""After a search: its best trial trained again, with other seeds and with one value moved at a time, as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeguards.search import (
    Ending,
    Search,
    Sensitivity,
    Task,
    search_again,
    sensitivity_page,
    shares_of,
    train_variants,
    variants,
)

__all__ = ["Again"]

SEED_KEY = "seed_everything"
PAGE = "sensitivity.html"


@dataclass(frozen=True, kw_only=True)
class Again:
    """The best feasible trial of a search, or the first of several, and what is trained beside it in its own study."""

    search: Search
    number: int
    study: Search
    variants: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, search: Search, training: Mapping[str, Any], *, seeds: int, storage: str | None) -> Again:
        """With so many seeds after the one of the training run."""
        best = search.result().best[0]
        first = training.get(SEED_KEY)
        base = first if isinstance(first, int) and not isinstance(first, bool) else 0
        wanted = [base + number for number in range(1, seeds + 1)]
        made = variants(search.space, best.parameters, seeds=wanted, seed_key=SEED_KEY)
        study = search_again(search, best.number, made, storage=storage)
        return cls(search=search, number=best.number, study=study, variants=made)

    def run(self, train: Callable[[Task], Ending], told: Callable[..., None]) -> Sensitivity:
        """Train what the study does not hold yet."""
        every = len(self.variants)
        self.study.run(train_variants(train, self.variants), trials=every, told=told, give_up_after=every + 1)
        return Sensitivity.of(self.search.story().trial(self.number), self.study.story())

    def write(self, found: Sensitivity, folder: Path) -> Path:
        """The page."""
        page = sensitivity_page(found, name=self.search.study.study_name, shares=shares_of(self.search))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PAGE).write_text(page, encoding="utf-8")
        return folder / PAGE
