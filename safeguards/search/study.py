"""A thin front over a study of Optuna: what to try next, what came of it, and the answer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError, TrialFailed
from safeguards.core.ranks import describe
from safeguards.search.attempts import REASON, Retry, begun, claim, running, take_up_orphans
from safeguards.search.constraints import Policy
from safeguards.search.dimension import Value
from safeguards.search.earlier import agree_with_earlier, begin, quiet, read_earlier
from safeguards.search.line import Ending
from safeguards.search.result import Direction, Result
from safeguards.search.samplers import named_pruner, named_sampler
from safeguards.search.space import Space
from safeguards.search.storage import open_storage
from safeguards.search.story import Story, read_story

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

__all__ = ["Search", "Task"]

VERDICTS = "verdicts"
NOT_KEPT = ("details", "cost")
WAIT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be trained: the values of this trial by their key, and whom to ask whether it should go on."""

    number: int
    parameters: Mapping[str, Value]
    prune: Callable[[int, float], bool]


Train = Callable[[Task], Ending]


class Search:
    """Hyperparameters under constraints: every trial ends with a finite number for each constraint that was asked for.

    Args:
        space: what may vary.
        objectives: metrics with their direction. Several give a Pareto front; trials are then pruned by nobody.
        constraints: ``<safeguard>/<measure>`` of each limit to keep.
        policy: what counts as a violation.
        storage: None for memory, ``journal:PATH``, or the address of a database.
        name: of the study; an existing one of this name is continued.
        sampler: ``tpe``, ``gp``, ``nsga2`` or ``random``.
        pruner: ``none``, ``median``, ``hyperband`` or ``halving``.
        seed: of the sampler; None for one drawn by chance. A continued study does not draw again what it drew before.
        retries: how often the parameters of a trial whose search died are trained again.

    Raises:
        ConfigurationError: for a wrong argument, a storage that cannot be opened, a study that asked for another thing.

    """

    def __init__(
        self,
        *,
        space: Space,
        objectives: Mapping[str, Direction],
        constraints: Sequence[str] = (),
        policy: Policy | None = None,
        storage: str | None = None,
        name: str = "search",
        sampler: str = "tpe",
        pruner: str = "none",
        seed: int | None = 0,
        retries: int = 2,
    ) -> None:
        self.space, self.objectives, self.constraints = space, dict(objectives), tuple(constraints)
        self.policy = policy or Policy()
        self._check(pruner)
        self._retry = Retry(retries)
        with quiet():
            self._pruner = named_pruner(pruner)
            named_sampler(sampler, seed, drawn=0)
            self.study = self._open(open_storage(storage, self._retry), name)
            drawn = len(self.study.get_trials(deepcopy=False))
            self.study.sampler = named_sampler(sampler, seed, drawn=drawn, unmeasured=self.policy.unmeasured)
            self.study.pruner = self._pruner

    def _check(self, pruner: str) -> None:
        wrong = {name: way for name, way in self.objectives.items() if way not in ("minimize", "maximize")}
        if wrong or not self.objectives:
            raise ConfigurationError(
                f"Search(objectives={self.objectives!r}): expected metrics, each minimize or maximize"
            )
        if len(self.objectives) > 1 and pruner != "none":
            raise ConfigurationError(
                f"Search(pruner={pruner!r}) with {len(self.objectives)} objectives: Optuna prunes by one value only; "
                'write pruner="none", and let TrialReporter(end_after_failures=) end what its safeguards refuse'
            )

    def _open(self, storage: Any, name: str) -> Study:
        """Of searches that begin at once one makes the study; the others find it."""
        import optuna

        try:
            study = optuna.create_study(storage=storage, study_name=name, directions=list(self.objectives.values()))
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(storage=storage, study_name=name)
            agree_with_earlier(study, self._asked())
        else:
            begin(study, self._asked())
        return study

    def _asked(self) -> dict[str, Any]:
        return {
            "objectives": list(map(list, self.objectives.items())),
            "constraints": sorted(self.constraints),
            "inconclusive_is_feasible": self.policy.inconclusive_is_feasible,
            "choices": {one.key: list(one.choices) for one in self.space.dimensions if one.choices},
        }

    def enqueue(self, parameters: Mapping[str, Value]) -> None:
        """Try these values first, unless they have been tried or are waiting already.

        Raises `ConfigurationError` for a key or a value that the space does not have.
        """
        self.space.check(parameters)
        self.study.enqueue_trial(dict(parameters), skip_if_exists=True)

    def learn_from(self, name: str, *, best: int = 3) -> int:
        """Try first what did best, among the feasible, in another study of the same storage; how many there are.

        What this space does not have of a trial's values is drawn anew. Raises `ConfigurationError` for a study that is
        not there or that no `Search` has made.
        """
        found = read_earlier(self.study, name, unmeasured=self.policy.unmeasured).leaders(best)
        for one in found:
            if kept := self.space.part_within(one.parameters):
                self.enqueue(kept)
        return len(found)

    def run(
        self,
        train: Train,
        *,
        trials: int,
        seconds: float | None = None,
        told: Callable[[Result], None] | None = None,
        give_up_after: int = 5,
    ) -> Result:
        """Train until the study holds this many trials, those of earlier and other searches included, or time is up.

        A trial that has begun is finished. ``told`` hears the result after each. Trials whose search died are queued
        again and not counted; while another search trains the last ones, this one waits for them. Raises `TrialFailed`
        once ``give_up_after`` trials have failed and none has ended otherwise.
        """
        began = time.monotonic()
        with quiet():
            while (left := self._left(trials)) and (seconds is None or time.monotonic() - began < seconds):
                if left < 0:
                    time.sleep(WAIT_SECONDS)
                    continue
                self.study.optimize(
                    lambda trial: self._objective(trial, train, trials), n_trials=1, catch=(TrialFailed,)
                )
                result = self.result()
                if told is not None:
                    told(result)
                _give_up(result, give_up_after)
            return self.result()

    def _left(self, trials: int) -> int:
        """How many trials are still to be begun; below 0 while all are begun and some still run; 0 at the end."""
        take_up_orphans(self.study, self._retry)
        counted = begun(self.study)
        return max(0, trials - len(counted)) or -sum(map(running, counted))

    def _objective(self, trial: Trial, train: Train, trials: int) -> Any:
        import optuna

        try:
            claim(self.study, trial, most=trials)
            parameters = self.space.suggest(trial)
            ending = train(Task(number=trial.number, parameters=parameters, prune=self._prune(trial)))
            values = self._values(ending)
        except TrialFailed as failed:
            trial.set_user_attr(REASON, describe(failed))
            raise
        except KeyboardInterrupt:
            self._retry(self.study, self._frozen(trial))
            raise
        self._keep(trial, ending)
        if ending.state == "pruned":
            raise optuna.TrialPruned(ending.reason)
        return values

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _prune(self, trial: Trial) -> Callable[[int, float], bool]:
        def ask(step: int, value: float) -> bool:
            if len(self.objectives) > 1 or not math.isfinite(value):
                return False
            trial.report(value, step)
            return trial.should_prune()

        return ask

    def _values(self, ending: Ending) -> list[float]:
        """The objectives' values in order; none is needed of a trial that was pruned."""
        if ending.state == "pruned":
            return []
        wrong = [name for name in self.objectives if not math.isfinite(ending.values.get(name, math.nan))]
        if wrong:
            raise TrialFailed(f"no finite value of {', '.join(wrong)} was told")
        return [ending.values[name] for name in self.objectives]

    def _keep(self, trial: Trial, ending: Ending) -> None:
        """Optuna keeps the first value of a constraint and forgets later ones, so each is set once, at the end."""
        for name in self.constraints:
            value = ending.violations.get(name, math.nan)
            trial.set_constraint(name, value if math.isfinite(value) else self.policy.unmeasured)
        kept = [{name: value for name, value in one.items() if name not in NOT_KEPT} for one in ending.verdicts]
        trial.set_user_attr(VERDICTS, kept)
        if ending.reason:
            trial.set_user_attr(REASON, ending.reason)

    def result(self) -> Result:
        """What the study holds now."""
        return self.story().result

    def story(self) -> Story:
        """Its trials that have ended, as plain data."""
        return read_story(
            self.study,
            objectives=self.objectives,
            constraints=self.constraints,
            unmeasured=self.policy.unmeasured,
        )


def _give_up(result: Result, failures: int) -> None:
    if len(result.reasons) >= failures and not result.candidates and not result.pruned:
        last = max(result.reasons)
        raise TrialFailed(f"all of the first {len(result.reasons)} trials failed, the last: {result.reasons[last]}")
