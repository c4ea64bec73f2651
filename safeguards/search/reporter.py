"""The callback of a trial: it reports to the search, and ends training on all processes together when told to."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safeguards.core.compat import Callback
from safeguards.core.errors import ConfigurationError, LimitViolated
from safeguards.core.ranks import Ranks, describe
from safeguards.core.run import verdicts
from safeguards.core.safeguard import Safeguard
from safeguards.core.stopping import Stop
from safeguards.core.verdict import Outcome, Verdict
from safeguards.search.constraints import Policy, name_of, violations
from safeguards.search.line import Ending, Line, State

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

__all__ = ["SECONDS", "TrialReporter"]

SECONDS = "seconds"
Plain = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Decision:
    """What follows a judgement: training goes on, or ends in this state for this reason."""

    state: State = "complete"
    reason: str = ""


class TrialReporter(Callback):
    """Reports a trial to the search that started its processes.

    After each validation rank 0 reads the ``objectives`` from the trainer's metrics, reports the value where there is
    only one, and decides; all ranks then stop together at the next step. At the end the values of the last validation
    are told, with the violations of the ``constraints`` by the last verdicts, which judge the same weights.

    Args:
        objectives: names of metrics, as in ``trainer.callback_metrics``; ``seconds`` is the duration of the fit.
        constraints: ``<safeguard>/<measure>`` of each limit that the search must keep.
        policy: what counts as a violation.
        end_after_failures: the trial ends, as pruned, once a constraint has failed by its interval at this many
            validations in a row; None lets it train on.
        parameters: what this process trains with, beside the module's hyperparameters; compared between the ranks.
        line: the line to the search; by default that of the search which started this process.

    Raises:
        ConfigurationError: outside a search, for an objective that no metric gives, or on ranks that would train with
            different parameters.

    """

    def __init__(
        self,
        *,
        objectives: Sequence[str],
        constraints: Sequence[str] = (),
        policy: Policy | None = None,
        end_after_failures: int | None = None,
        parameters: Mapping[str, Any] | None = None,
        line: Any = None,
    ) -> None:
        if isinstance(objectives, str) or not objectives:
            raise ConfigurationError(f"TrialReporter(objectives={objectives!r}): expected a list of metrics")
        if end_after_failures is not None and not end_after_failures >= 1:
            raise ConfigurationError(f"TrialReporter(end_after_failures={end_after_failures!r}): expected 1 or more")
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.policy = policy or Policy()
        self.end_after_failures = end_after_failures
        self.parameters = dict(parameters or {})
        self._line = line
        self._ranks = Ranks()
        self._stop = Stop()
        self._started = 0.0
        self._validations = 0
        self._seen = 0
        self._failures: dict[str, int] = {}
        self._values: dict[str, float] = {}
        self._decision = Decision()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._line = self._line or Line.of_this_process()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ranks = Ranks.of(trainer)
        self._started = time.perf_counter()
        self._check_parameters(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit" or self._decision.reason:
            return
        self._decision = self._on_first_rank(lambda: self._decide(trainer))
        if self._decision.reason:
            self._stop.at_next_step(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop.restore(trainer)
        self._on_first_rank(lambda: self._line.end(self._ending(trainer)))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Each rank for itself, since none may wait for another any more."""
        self._stop.restore(trainer)
        state: State = "pruned" if isinstance(exception, LimitViolated) else "failed"
        self._decision = Decision(state, describe(exception))
        try:
            self._line.end(self._ending(trainer))
        except Exception as error:
            exception.add_note(f"The search was not told: {describe(error)}")

    def _on_first_rank(self, work: Any) -> Any:
        """What the work of rank 0 gave, on all ranks; its failure on all of them."""
        return self._ranks.broadcast(self._ranks.together(work if self._ranks.rank == 0 else lambda: None))

    def _check_parameters(self, module: LightningModule) -> None:
        own = {name: value for name, value in dict(module.hparams).items() if isinstance(value, Plain)}
        text = json.dumps([self.parameters, own], sort_keys=True, default=str)
        digests = self._ranks.gather(hashlib.sha256(text.encode()).hexdigest())
        if len(set(digests)) > 1:
            every = self._ranks.gather(text[:300])
            told = "; ".join(f"rank {rank}: {one}" for rank, one in enumerate(every))
            raise ConfigurationError(f"the ranks of this trial would train with different parameters: {told}")

    def _decide(self, trainer: Trainer) -> Decision:
        """Rank 0: a ladder, gravest first."""
        self._validations += 1
        self._values = {name: self._value(name, trainer) for name in self.objectives}
        for name, value in self._values.items():
            if not math.isfinite(value):
                return Decision("failed", f"{name} is {value} at validation {self._validations}")
        if failing := self._failing_for_long(trainer):
            return Decision("pruned", f"{failing} failed at {self.end_after_failures} validations in a row")
        if len(self.objectives) == 1 and self._line.report(self._validations, self._values[self.objectives[0]]):
            return Decision("pruned", f"pruned at validation {self._validations}")
        return Decision()

    def _value(self, name: str, trainer: Trainer) -> float:
        if name == SECONDS:
            return time.perf_counter() - self._started
        metrics = trainer.callback_metrics
        if name not in metrics:
            near = difflib.get_close_matches(name, metrics, n=3, cutoff=0.3) or sorted(metrics)[:8]
            raise ConfigurationError(
                f"no metric {name!r} after validation; the nearest are {', '.join(near) or 'none'}"
            )
        return float(metrics[name])

    def _failing_for_long(self, trainer: Trainer) -> str:
        """The first constraint that has failed by its interval at so many validations in a row; empty if none."""
        every = verdicts(trainer)
        new, self._seen = every[self._seen :], len(every)
        failed = {name_of(one) for one in new if _failed_by_interval(one)}
        self._failures = {name: self._failures.get(name, 0) + 1 for name in self.constraints if name in failed}
        enough = [name for name, times in self._failures.items() if times == self.end_after_failures]
        return enough[0] if enough else ""

    def _ending(self, trainer: Trainer) -> Ending:
        found = verdicts(trainer)
        state, reason = self._decision.state, self._decision.reason
        if state == "complete" and not self._values:
            state, reason = "failed", "no validation ran, so there is no value of the objective"
        decided_on = {one.label: one.decide_on for one in _safeguards(trainer)}
        return Ending(
            state=state,
            reason=reason,
            values={name: value for name, value in self._values.items() if math.isfinite(value)},
            violations=violations(found, self.constraints, self.policy, decided_on=decided_on),
            verdicts=tuple(verdict.to_dict() for verdict in _last(found)),
        )


def _failed_by_interval(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.FAIL and verdict.interval is not None


def _safeguards(trainer: Trainer) -> list[Safeguard]:
    return [one for one in vars(trainer)["callbacks"] if isinstance(one, Safeguard)]


def _last(found: Sequence[Verdict]) -> list[Verdict]:
    return list({(one.safeguard, one.measure, one.moment.loader): one for one in found}.values())
