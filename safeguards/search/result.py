"""What a search found: the best trials that keep every constraint, or else the closest and what they miss.

Pure: it reads numbers that trials told, and asks no storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Candidate", "Direction", "Result"]

Direction = Literal["minimize", "maximize"]
CLOSEST = 3


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A trial that was trained to its end. A violation of 0 or less keeps its constraint."""

    number: int
    parameters: Mapping[str, Any]
    values: tuple[float, ...]
    violations: Mapping[str, float]

    def missed(self) -> dict[str, float]:
        """The constraints that it does not keep, with by how much, in the unit of each measure."""
        return {name: value for name, value in self.violations.items() if value > 0}


@dataclass(frozen=True, kw_only=True)
class Result:
    """The candidates of a study, and how many trials ended otherwise.

    ``pruned`` and ``failed`` count trials; ``reasons`` holds why each of the failed did, by number.
    """

    objectives: Mapping[str, Direction]
    candidates: Sequence[Candidate]
    pruned: int = 0
    reasons: Mapping[int, str]

    @property
    def ended(self) -> int:
        """All trials that have ended."""
        return len(self.candidates) + self.pruned + len(self.reasons)

    @property
    def feasible(self) -> list[Candidate]:
        """Those that keep every constraint."""
        return [one for one in self.candidates if not one.missed()]

    @property
    def best(self) -> list[Candidate]:
        """The best feasible one; with several objectives, all that no other feasible one beats. Empty if none is."""
        return self._front(self.feasible)

    @property
    def best_of_all(self) -> list[Candidate]:
        """As `best`, with every constraint forgotten: what a search without safeguards would have chosen."""
        return self._front(self.candidates)

    @property
    def closest(self) -> list[Candidate]:
        """At most three, by the sum of what they miss; of equals, the better first."""
        return sorted(self.candidates, key=lambda one: (sum(one.missed().values()), self._losses(one)))[:CLOSEST]

    def leaders(self, most: int) -> list[Candidate]:
        """At most so many feasible candidates, the best first; with several objectives, front after front."""
        left, found = self.feasible, list[Candidate]()
        while left and len(found) < most:
            front = self._front(left)
            found += front
            left = [one for one in left if one not in front]
        return found[:most]

    def _front(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        unbeaten = [one for one in candidates if not any(self._beats(other, one) for other in candidates)]
        return unbeaten[:1] if len(self.objectives) == 1 else unbeaten

    def _beats(self, one: Candidate, other: Candidate) -> bool:
        mine, its = self._losses(one), self._losses(other)
        return mine != its and all(a <= b for a, b in zip(mine, its, strict=True))

    def _losses(self, one: Candidate) -> tuple[float, ...]:
        signs = (-1.0 if direction == "maximize" else 1.0 for direction in self.objectives.values())
        return tuple(sign * value for sign, value in zip(signs, one.values, strict=True))

    def text(self) -> str:
        """For people: the counts, then the best, or the closest with what they miss, then why trials failed."""
        how = f"{len(self.candidates)} trained to the end, {self.pruned} pruned, {len(self.reasons)} failed"
        lines = [f"{self.ended} trials: {how}; {len(self.feasible)} feasible"]
        if self.best:
            lines += ["best feasible:", *(self._line(one) for one in self.best)]
        elif self.candidates:
            lines += ["no trial is feasible; the closest:", *(self._line(one) for one in self.closest)]
        lines += [f"failed {number}: {reason}" for number, reason in self.reasons.items()]
        return "\n".join(lines)

    def _line(self, one: Candidate) -> str:
        values = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.objectives, one.values, strict=True))
        missed = "; ".join(f"misses {name} by {by:.4g}" for name, by in one.missed().items())
        parameters = ", ".join(f"{name}={_short(value)}" for name, value in one.parameters.items())
        return "  " + "; ".join(part for part in (f"trial {one.number}: {values}", missed, parameters) if part)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
