"""A study as plain data: what became of each trial, for those who draw it, keep it or judge it."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from safeguards.search.attempts import KILLED, OWNER, REASON, uncounted
from safeguards.search.result import Candidate, Direction, Result

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

__all__ = ["IDENTITY", "Story", "Tried", "read_story"]

IDENTITY, VERDICTS = "safeguards.id", "verdicts"
State = Literal["complete", "pruned", "failed", "lost"]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One trial that has ended.

    A lost one was begun by a search that was killed, and trained again under another number; or it was left before it
    trained, because another search had its values or its place. ``values`` are by objective, of a complete trial only;
    ``violations`` are 0 or less where a constraint is kept. ``began`` and ``ended`` are seconds since 1970. ``here``:
    whether a search on this host trained it.
    """

    number: int
    state: State
    reason: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    violations: Mapping[str, float] = field(default_factory=dict)
    verdicts: Sequence[Mapping[str, Any]] = ()
    began: float | None = None
    ended: float | None = None
    here: bool = True

    @property
    def feasible(self) -> bool:
        """Whether it was trained to its end and keeps every constraint."""
        return self.state == "complete" and all(value <= 0 for value in self.violations.values())


@dataclass(frozen=True, kw_only=True)
class Story:
    """The trials of a study by number. ``identity`` is the study's own for as long as it lives, unlike its name."""

    identity: str
    name: str
    objectives: Mapping[str, Direction]
    constraints: Sequence[str]
    unmeasured: float
    tried: Sequence[Tried] = ()

    @property
    def complete(self) -> list[Tried]:
        """Those that were trained to their end."""
        return [one for one in self.tried if one.state == "complete"]

    def trial(self, number: int) -> Tried:
        """The trial of this number; ``KeyError`` when it has not ended."""
        return {one.number: one for one in self.tried}[number]

    @property
    def best(self) -> list[int]:
        """Numbers of the best feasible trials, as `Result.best` has them."""
        return [one.number for one in self.result.best]

    @property
    def result(self) -> Result:
        """What was found, by the one rule that there is for it."""
        return Result(
            objectives=self.objectives,
            candidates=[
                Candidate(
                    number=one.number,
                    parameters=one.parameters,
                    values=tuple(one.values.values()),
                    violations=one.violations,
                )
                for one in self.complete
            ],
            pruned=sum(one.state == "pruned" for one in self.tried),
            reasons={one.number: one.reason for one in self.tried if one.state == "failed"},
        )


def read_story(
    study: Study, *, objectives: Mapping[str, Direction], constraints: Sequence[str], unmeasured: float
) -> Story:
    """What the study holds now."""
    every = study.get_trials(deepcopy=False)
    lost = uncounted(every)
    return Story(
        identity=str(study.user_attrs[IDENTITY]),
        name=study.study_name,
        objectives=objectives,
        constraints=constraints,
        unmeasured=unmeasured,
        tried=[
            _tried(one, list(objectives), constraints, unmeasured, lost=one.number in lost)
            for one in every
            if one.state.is_finished()
        ],
    )


def _tried(
    trial: FrozenTrial, objectives: Sequence[str], constraints: Sequence[str], unmeasured: float, *, lost: bool
) -> Tried:
    ended: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    state: State = "lost" if lost else ended[trial.state.name]
    reason = trial.user_attrs.get(REASON, KILLED if trial.state.name == "FAIL" else "")
    judged = state in ("complete", "pruned")
    return Tried(
        number=trial.number,
        state=state,
        reason=str(reason),
        parameters=trial.params,
        values=dict(zip(objectives, trial.values, strict=True)) if state == "complete" else {},
        violations={name: trial.constraints.get(name, unmeasured) for name in constraints} if judged else {},
        verdicts=trial.user_attrs.get(VERDICTS, ()),
        began=_seconds(trial.datetime_start),
        ended=_seconds(trial.datetime_complete),
        here=trial.user_attrs.get(OWNER, {}).get("host") in (None, socket.gethostname()),
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
