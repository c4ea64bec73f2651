"""The live audit: verdicts on a model in production, on data that it did not learn from, without any training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from safeguards.core.arguments import check_shares, check_whole
from safeguards.core.errors import ConfigurationError
from safeguards.core.limit import Limit, judged
from safeguards.core.verdict import Measurement, Moment, Outcome, Verdict
from safeguards.fairness import MEASURES, compare_groups
from safeguards.retraining.asking import Answers
from safeguards.retraining.measures import accuracy, calibration_error, largest_shift

__all__ = ["LIVE", "STAGE", "LiveCheck", "alarms"]

LIVE = "live_audit"
"""What the verdicts name as their safeguard."""
STAGE = "live"
DRIFT, SHIFT = "drifted_share", "prediction_shift"
LABELLED = ("accuracy", "calibration_error", *MEASURES)
"""Measures that need labels."""


@dataclass(frozen=True, kw_only=True)
class LiveCheck:
    """What is asked of a live model.

    ``limits`` by measure: ``accuracy``, ``calibration_error``, ``prediction_shift`` (the largest change of a predicted
    class's share since the data that the model learned from), and those of fairness, such as ``worst_group_accuracy``.
    Without labels only ``prediction_shift`` can be told. All of these verdicts of an audit are wrong together with
    probability ``alpha`` at most. A group needs ``min_support`` rows; ``positive`` is fairness's class of interest.
    """

    limits: Mapping[str, Limit]
    alpha: float = 0.05
    min_support: int = 10
    positive: int = 1

    def __post_init__(self) -> None:
        known = sorted({*LABELLED, SHIFT})
        if unknown := [name for name in self.limits if name not in known]:
            raise ConfigurationError(f"limits: there is no measure {unknown[0]!r}; there are {', '.join(known)}")
        check_shares(self, alpha=self.alpha)
        check_whole(self, 1, min_support=self.min_support)
        check_whole(self, 0, positive=self.positive)

    def judge(
        self, *, drift: Measurement, drift_limit: Limit, now: Answers, before: Answers, step: int = 0
    ) -> tuple[Verdict, ...]:
        """A verdict for the drift of the columns and for each limit.

        ``now`` are the model's answers on the new rows, ``before`` those on rows of the data that it learned from;
        ``step`` counts audits. Rows without a label count for the shift alone; what needs labels and has
        none is NOT_EVALUATED.
        """
        moment = Moment(stage=STAGE, epoch=0, step=step)
        found = self._measured(now, before)
        asked = [_verdict(name, found[name], limit, moment) for name, limit in self.limits.items()]
        return (_verdict(DRIFT, drift, drift_limit, moment), *asked)

    def _measured(self, now: Answers, before: Answers) -> dict[str, Measurement | None]:
        faulty = int((~np.isfinite(np.concatenate([now.confidence, before.confidence]))).sum())
        if faulty:
            fault = f"the outputs of {faulty} rows, of the new ones and those before, are not finite"
            return dict.fromkeys(self.limits, Measurement(value=math.nan, n=len(now.ids), model_fault=fault))
        found: dict[str, Measurement | None] = dict.fromkeys(self.limits)
        if SHIFT in self.limits:
            found[SHIFT] = largest_shift(*_counts(before, now), alpha=self._each)
        labelled = now.labelled
        return found if labelled is None else {**found, **self._labelled(labelled)}

    def _labelled(self, now: Answers) -> dict[str, Measurement]:
        assert now.target is not None  # noqa: S101 - asked before
        fair = {name: limit for name, limit in self.limits.items() if name in MEASURES}
        found: dict[str, Measurement] = {}
        if fair:
            found = compare_groups(
                fair,
                {name: labels.tolist() for name, labels in now.groups.items()},
                true=now.target,
                guess=now.predicted,
                positive=self.positive,
                min_support=self.min_support,
                alpha=self._each * len(fair),
            )
        if "accuracy" in self.limits:
            found["accuracy"] = accuracy(now.right, alpha=self._each)
        if "calibration_error" in self.limits:
            found["calibration_error"] = calibration_error(now.confidence, now.right, alpha=self._each)
        return found

    @property
    def _each(self) -> float:
        return self.alpha / len(self.limits)


def alarms(verdicts: tuple[Verdict, ...]) -> tuple[str, ...]:
    """A sentence for each verdict that fails. One that cannot be decided is told and is no alarm."""
    return tuple(f"{verdict.measure}: {verdict.reason}" for verdict in verdicts if verdict.outcome is Outcome.FAIL)


def _counts(before: Answers, now: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each predicted class then and now, over the classes that were predicted at all."""
    classes = int(max(before.predicted.max(), now.predicted.max())) + 1
    return np.bincount(before.predicted, minlength=classes), np.bincount(now.predicted, minlength=classes)


def _verdict(measure: str, found: Measurement | None, limit: Limit, moment: Moment) -> Verdict:
    if found is None:
        why = "the rows have no labels, so nothing tells which answers are right"
        return Verdict(
            safeguard=LIVE, measure=measure, outcome=Outcome.NOT_EVALUATED, reason=why, moment=moment, limit=limit
        )
    return judged(found, limit, safeguard=LIVE, measure=measure, moment=moment)
