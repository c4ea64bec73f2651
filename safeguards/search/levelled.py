"""Violations as a sampler that models them can use them: in one order, and on the scale of what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

__all__ = ["gaussian", "levelled"]


def levelled(every: Sequence[Mapping[str, float]], unmeasured: float) -> list[dict[str, float]]:
    """The violations of each trial, by name in order, with no distance greater than the greatest that was measured.

    What was never measured stays a violation. Where nothing was measured, or only zeros, all stay as they are.
    """
    names = sorted({name for one in every for name in one})
    far = {name: _furthest([one.get(name, unmeasured) for one in every], unmeasured) for name in names}
    return [{name: max(-far[name], min(one.get(name, unmeasured), far[name])) for name in names} for one in every]


def _furthest(values: Sequence[float], unmeasured: float) -> float:
    return max((abs(value) for value in values if abs(value) < unmeasured), default=0.0) or unmeasured


def gaussian(seed: int | None, unmeasured: float) -> BaseSampler:
    """Optuna's Gaussian process, which is blind as it stands to limits that one trial was never judged by.

    It divides each constraint by its standard deviation, so that beside one violation of 1000 all others are the same
    number; and it takes constraints by their place in a trial, which is the storage's affair.
    """
    from optuna import create_trial
    from optuna.samplers import GPSampler

    class Levelled(GPSampler):
        def _sample_relative_impl(
            self, study: Study, completed_trials: list[FrozenTrial], running_trials: Any, search_space: Any
        ) -> dict[str, Any]:
            told = levelled([trial.constraints for trial in completed_trials], unmeasured)
            alike = [
                create_trial(
                    values=trial.values, params=trial.params, distributions=trial.distributions, constraints=constraints
                )
                for trial, constraints in zip(completed_trials, told, strict=True)
            ]
            return super()._sample_relative_impl(study, alike, running_trials, search_space)

    return Levelled(seed=seed)
