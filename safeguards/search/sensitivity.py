"""How an optimum lies: whether other seeds keep its limits too, and how much one value moved makes of a difference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from safeguards.search.dimension import Value
from safeguards.search.line import Ending
from safeguards.search.space import Space
from safeguards.search.story import Story, Tried
from safeguards.search.study import Search, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Sensitivity", "search_again", "train_variants"]

VARIANT = "variant"
SEED = "seed "
Variants = Mapping[str, Mapping[str, Value]]


def search_again(search: Search, number: int, variants: Variants, *, storage: str | None) -> Search:
    """A study of its own in the same kind of storage, with one trial per variant of trial ``number``.

    The search's sampler never sees these trials. Asked for again with the same variants it goes on; with others it is
    another study.
    """
    digest = hashlib.sha256(json.dumps(list(variants.items())).encode()).hexdigest()[:8]
    again = Search(
        space=Space.read({VARIANT: {"type": "categorical", "choices": list(variants)}}),
        objectives=search.objectives,
        constraints=search.constraints,
        policy=search.policy,
        storage=storage,
        name=f"{search.study.study_name}, trial {number} again ({digest})",
        sampler="random",
    )
    for name in variants:
        again.enqueue({VARIANT: name})
    return again


def train_variants(train: Callable[[Task], Ending], variants: Variants) -> Callable[[Task], Ending]:
    """``train`` for `Search.run` of `search_again`: each trial trains its variant."""

    def one(task: Task) -> Ending:
        return train(replace(task, parameters=variants[str(task.parameters[VARIANT])]))

    return one


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """A trial, and the same trained again: by name, with other ``seeds``, and with one value moved (``nudges``).

    Only trials that tell a number count for it; of a constraint those that were pruned do too. A violation of
    ``unmeasured`` or more was never measured, and is not kept.
    """

    found: Tried
    objectives: Sequence[str]
    constraints: Sequence[str]
    unmeasured: float
    seeds: Mapping[str, Tried]
    nudges: Mapping[str, Tried]

    @classmethod
    def of(cls, found: Tried, again: Story) -> Sensitivity:
        """``found`` beside the trials of the study that `search_again` made of it."""
        named = {str(one.parameters[VARIANT]): one for one in again.tried if one.state != "lost" and one.parameters}
        return cls(
            found=found,
            objectives=list(again.objectives),
            constraints=again.constraints,
            unmeasured=again.unmeasured,
            seeds={name: one for name, one in named.items() if name.startswith(SEED)},
            nudges={name: one for name, one in named.items() if not name.startswith(SEED)},
        )

    def spread(self, name: str) -> tuple[float, float]:
        """The least and the greatest value of an objective or violation over all seeds, the first one included."""
        numbers = self._over_seeds(name)
        return min(numbers), max(numbers)

    @property
    def fragile(self) -> dict[str, tuple[int, int]]:
        """The constraints that some seeds keep and others do not: how many keep it, of how many."""
        kept = {name: [number <= 0 for number in self._over_seeds(name)] for name in self.constraints}
        return {name: (sum(one), len(one)) for name, one in kept.items() if any(one) and not all(one)}

    @property
    def steep(self) -> dict[str, list[str]]:
        """By objective and constraint, the nudges that move it further than any other seed did.

        Empty where the optimum is flat: then a moved value makes no more of a difference than chance.
        """
        found = {name: list(self._beyond(name)) for name in (*self.objectives, *self.constraints)}
        return {name: nudges for name, nudges in found.items() if nudges}

    @property
    def breaking(self) -> dict[str, list[str]]:
        """The nudges under which a constraint is not kept, by constraint."""
        over = {
            name: [nudge for nudge, one in self.nudges.items() if one.violations.get(name, 0.0) > 0]
            for name in self.constraints
        }
        return {name: nudges for name, nudges in over.items() if nudges}

    @property
    def silent(self) -> dict[str, str]:
        """The trainings that told no objective, with why."""
        every = {**self.seeds, **self.nudges}
        return {name: one.reason or one.state for name, one in every.items() if one.state != "complete"}

    def text(self) -> str:
        """For people, the gravest first."""
        count = len([one for one in self.seeds.values() if one.state in ("complete", "pruned")])
        if not count:
            lines = [f"trial {self.found.number}: whether it is fragile is not known, as no other seed was trained"]
        elif self.fragile:
            lines = [
                f"trial {self.found.number} is FRAGILE: {kept} of {n} seeds keep {name}"
                for name, (kept, n) in self.fragile.items()
            ]
        else:
            lines = [f"trial {self.found.number} keeps every limit with each of {count + 1} seeds"]
        lines += [f"{name} is not kept with {', '.join(nudges)}" for name, nudges in self.breaking.items()]
        lines += [f"not told by {name}: {reason}" for name, reason in self.silent.items()]
        return "\n".join(" ".join(line.split()) for line in lines)

    def number(self, one: Tried, name: str) -> float | None:
        """What a training told of an objective or constraint."""
        return one.values.get(name) if name in self.objectives else one.violations.get(name)

    def _over_seeds(self, name: str) -> list[float]:
        return list(self._told(name, (self.found, *self.seeds.values())))

    def _told(self, name: str, tried: Iterable[Tried]) -> Iterable[float]:
        numbers = (self.number(one, name) for one in tried)
        return [number for number in numbers if number is not None]

    def _beyond(self, name: str) -> Iterable[str]:
        low, high = self.spread(name)
        for nudge, one in self.nudges.items():
            number = self.number(one, name)
            if number is not None and not low <= number <= high:
                yield nudge
