"""From the trials of a study to what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from safeguards.search.attempts import KILLED, REASON, uncounted
from safeguards.search.result import Candidate, Direction, Result

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

__all__ = ["read_result"]


def read_result(
    study: Study, *, objectives: Mapping[str, Direction], constraints: Sequence[str], unmeasured: float
) -> Result:
    """What the study holds now; attempts that were queued again are left out."""
    import optuna

    every = study.get_trials(deepcopy=False)
    lost = uncounted(every)
    counted = [trial for trial in every if trial.number not in lost]
    states = optuna.trial.TrialState
    return Result(
        objectives=objectives,
        candidates=[_candidate(one, constraints, unmeasured) for one in counted if one.state is states.COMPLETE],
        pruned=sum(trial.state is states.PRUNED for trial in counted),
        reasons={
            trial.number: str(trial.user_attrs.get(REASON, KILLED)) for trial in counted if trial.state is states.FAIL
        },
    )


def _candidate(trial: FrozenTrial, constraints: Sequence[str], unmeasured: float) -> Candidate:
    """A trial that lacks a constraint, which only a hand in the database can bring about, does not keep it."""
    return Candidate(
        number=trial.number,
        parameters=trial.params,
        values=tuple(trial.values),
        violations={name: trial.constraints.get(name, unmeasured) for name in constraints},
    )
