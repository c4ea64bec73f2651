"""What to try on each row: which attack, at which eps, with what effort."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from safeguards.adversarial.attacks import Attacked, Runs, apgd, fgsm, pgd
from safeguards.adversarial.attacks.loss import LogitsOf, look
from safeguards.adversarial.record import Record, joined, record
from safeguards.adversarial.threat import ThreatModel

__all__ = ["ATTACKS", "WHOLE_RANGE", "AnyPlan", "Plan", "whole_range_unreachable"]

ATTACKS = ("fgsm", "pgd", "apgd")
WHOLE_RANGE = math.inf


@dataclass(frozen=True, kw_only=True)
class AnyPlan(ABC):
    """``attack`` at each of ``multiples`` of eps, in this order, 1 among them; `WHOLE_RANGE` is the whole clip range.

    ``share`` is a step over eps. ``restarts`` counts random starts; 0 starts from the rows themselves.
    """

    attack: str
    threat: ThreatModel
    multiples: tuple[float, ...]
    steps: int
    restarts: int
    share: float

    def run(self, logits_of: LogitsOf, x: Tensor, y: Tensor, seeds: Tensor, *, batch_size: int) -> Record:
        """Attack rows (N, ...) batch by batch, each row with its own int64 seed (N,)."""
        places = [slice(start, start + batch_size) for start in range(0, len(x), batch_size)]
        return joined([self._batch(logits_of, x[at], y[at], seeds[at]) for at in places])

    @abstractmethod
    def _batch(self, logits_of: LogitsOf, x: Tensor, y: Tensor, seeds: Tensor) -> Record:
        """One batch of `run`."""


class Plan(AnyPlan):
    """An attack of ours, with the same number of forwards whatever the rows are."""

    follows_gradients = True

    @property
    def single_step(self) -> bool:
        return self.attack == "fgsm"

    @property
    def step(self) -> float | None:
        """The length of a step over eps; None where the attack chooses it."""
        return {"fgsm": 1.0, "pgd": self.share, "apgd": None}[self.attack]

    @property
    def forwards_per_row(self) -> int:
        """Clean, single step and its look, and each attack with the look at what it left."""
        runs = [1 if m == WHOLE_RANGE else max(1, self.restarts) for m in self.multiples]
        per_run, less = {"fgsm": (1, 0), "pgd": (self.steps + 1, 1), "apgd": (self.steps + 1, 0)}[self.attack]
        return 3 + sum((1 if self.single_step else n * per_run - less) + 1 for n in runs)

    def describe(self) -> dict[str, Any]:
        """Plain values for a verdict's details."""
        effort = {} if self.single_step else {"steps": self.steps, "restarts": self.restarts}
        told = {"name": self.attack, **effort, "step_over_eps": self.step, "forwards_per_row": self.forwards_per_row}
        return {"attack": told, "threat": self.threat.describe()}

    def _batch(self, logits_of: LogitsOf, x: Tensor, y: Tensor, seeds: Tensor) -> Record:
        clean = look(logits_of, x)
        single = fgsm(logits_of, x, y, self.threat)
        attacks = [self._attack(seeds, m)(logits_of, x, y, self.threat, multiple=m) for m in self.multiples]
        return record(logits_of, x, y, clean, single, attacks, main=self.multiples.index(1.0))

    def _attack(self, seeds: Tensor, multiple: float) -> Callable[..., Attacked]:
        """Over the whole range it starts from the rows: a random start there breaks rows that no gradient would."""
        restarts = 0 if multiple == WHOLE_RANGE else self.restarts
        if self.attack == "fgsm":
            return fgsm
        runs = Runs(seeds=seeds, steps=self.steps, restarts=restarts)
        return partial(apgd, runs=runs) if self.attack == "apgd" else partial(pgd, runs=runs, share=self.share)


def whole_range_unreachable(threat: ThreatModel, row: Tensor) -> str | None:
    """Why an attack over the whole clip range tells nothing about this threat, or None if it does."""
    limits = threat.range(row)
    if limits is None:
        return "no clip range is known"
    if not bool((threat.reach(row) > 0).all()):
        return "some features stay fixed, so rows cannot all become the same"
    if not bool(torch.isfinite(torch.stack(limits)).all()):
        return "the clip range has no end"
    return None
