"""Which parameter moves what: the share of the variation of each objective and violation that it explains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from safeguards.search.earlier import quiet

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

__all__ = ["importance"]

FEWEST = 10
SEED = 0
Number = Callable[["FrozenTrial"], float]


def importance(
    study: Study, *, objectives: Sequence[str], constraints: Sequence[str], unmeasured: float
) -> dict[str, dict[str, float]]:
    """By objective and constraint, the share of each parameter, in [0, 1]; the shares of one add up to 1.

    0 means that it makes no difference, alone or with others, to what a forest of regression trees makes of the trials
    (fANOVA; Hutter, Hoos and Leyton-Brown, 2014). Only parameters that every trial has are compared, over the trials
    that were trained to their end and in which the number was measured. What fewer than 10 tell, or what never varied,
    is left out: then nothing is known.
    """
    told: dict[str, Number] = {name: _objective(place) for place, name in enumerate(objectives)}
    told |= {name: _violation(name, unmeasured) for name in constraints}
    found = {name: _shares(study, number) for name, number in told.items()}
    return {name: shares for name, shares in found.items() if shares}


def _objective(place: int) -> Number:
    return lambda trial: float(trial.values[place])


def _violation(name: str, unmeasured: float) -> Number:
    def number(trial: FrozenTrial) -> float:
        value = trial.constraints.get(name, unmeasured)
        return value if value < unmeasured else math.nan

    return number


def _shares(study: Study, number: Number) -> dict[str, float]:
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    measured = [trial for trial in complete if math.isfinite(number(trial))]
    if len(measured) < FEWEST or len({number(trial) for trial in measured}) == 1:
        return {}
    with quiet():
        copy = optuna.create_study(directions=study.directions)
        copy.add_trials(measured)
        return _fanova(copy, number)


def _fanova(study: Study, number: Number) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    try:
        return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=SEED), target=number))
    except RuntimeError:  # the trees found nothing to divide
        return {}
