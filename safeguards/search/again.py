"""After a search: its best trial trained again, with other seeds and with one value moved at a time, as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from safeguards.search.album import shares_of
from safeguards.search.book import Book
from safeguards.search.dimension import Value
from safeguards.search.nudges import variants
from safeguards.search.page import sensitivity_page
from safeguards.search.result import Result
from safeguards.search.sensitivity import Sensitivity, search_again, train_variants
from safeguards.search.trials import Trials

__all__ = ["Again"]

SEED_KEY = "seed_everything"
PAGE = "sensitivity.html"


@dataclass(frozen=True, kw_only=True)
class Again:
    """The best feasible trial of a search, or the first of several, and the trials ``beside`` it in their own study."""

    trials: Trials
    number: int
    beside: Trials
    variants: Mapping[str, Mapping[str, Value]]

    @classmethod
    def of(cls, trials: Trials, *, seeds: int, storage: str | None) -> Again:
        """With so many seeds after the one of the training run; the study lies in ``storage``."""
        search, first = trials.book.search, trials.job.get(SEED_KEY)
        best = search.result().best[0]
        base = first if isinstance(first, int) and not isinstance(first, bool) else 0
        wanted = [base + number for number in range(1, seeds + 1)]
        made = variants(search.space, best.parameters, seeds=wanted, seed_key=SEED_KEY)
        study = search_again(search, best.number, made, storage=storage)
        folder = trials.folder / f"again-{best.number:04d}"
        beside = replace(trials, folder=folder, book=Book.of(study, trials.job))
        return cls(trials=trials, number=best.number, beside=beside, variants=made)

    @property
    def page(self) -> Path:
        """Where the page lies once it is written."""
        return self.beside.folder / PAGE

    def run(self, told: Callable[[Result], None]) -> Sensitivity:
        """Train what the study does not hold yet; the page goes beside the trials, and into the run of the search."""
        every, search = len(self.variants), self.trials.book.search
        train = train_variants(self.beside.train, self.variants)
        study = self.beside.book.search
        with self.beside.book.kept(told) as heard:
            study.run(train, trials=every, told=heard, give_up_after=every + 1)
        found = Sensitivity.of(search.story().trial(self.number), study.story())
        text = sensitivity_page(found, name=search.study.study_name, shares=shares_of(search))
        self.page.parent.mkdir(parents=True, exist_ok=True)
        self.page.write_text(text, encoding="utf-8")
        self.trials.book.keep(last=True, more={PAGE: self.page.read_bytes()})
        return found
