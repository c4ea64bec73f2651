"""What a live audit says of answers that are known by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from safeguards import Limit, Measurement, Outcome, Verdict
from safeguards.core.errors import ConfigurationError
from safeguards.retraining import UNLABELLED, Answers, LiveCheck, alarms
from safeguards.retraining.measures import accuracy

LIMITS = {
    "accuracy": Limit(at_least=0.8),
    "worst_group_accuracy": Limit(at_least=0.5),
    "calibration_error": Limit(at_most=0.2),
    "prediction_shift": Limit(at_most=0.2),
}
DRIFT = {"drift": Measurement(value=0.0, n=1000), "drift_limit": Limit(at_most=0.1)}


def answered(rights: int, *, n: int = 1000, labelled: bool = True, confidence: float = 0.9, ones: int = 500) -> Answers:
    """The first ``ones`` rows are predicted 1, the first ``rights`` right; every other row is on the left."""
    predicted = (np.arange(n) < ones).astype(np.int64)
    target = np.where(np.arange(n) < rights, predicted, 1 - predicted)
    return Answers(
        ids=np.arange(n),
        target=target if labelled else None,
        predicted=predicted,
        confidence=np.full(n, confidence),
        robust=None,
        groups={"side": np.where(np.arange(n) % 2 == 1, "right", "left")},
    )


def outcomes(now: Answers, before: Answers | None = None, **given: Any) -> dict[str, Outcome]:
    check = LiveCheck(limits=given.pop("limits", LIMITS))
    found = check.judge(**{**DRIFT, **given}, now=now, before=before or answered(900), step=3)
    assert {(verdict.safeguard, verdict.moment.stage, verdict.moment.step) for verdict in found} == {
        ("live_audit", "live", 3)
    }
    return {verdict.measure: verdict.outcome for verdict in found}


def test_a_model_that_does_what_it_did_passes() -> None:
    assert outcomes(answered(900)) == dict.fromkeys(["drifted_share", *LIMITS], Outcome.PASS)


def test_rows_without_a_label_count_for_the_shift_alone() -> None:
    """Every third row has none yet: of the others 9 of 10 are right, and a shift that only they show is seen."""
    now = answered(900)
    later = np.arange(1000) % 3 == 0
    partly = replace(now, target=np.where(later, UNLABELLED, now.target))
    assert outcomes(partly) == dict.fromkeys(["drifted_share", *LIMITS], Outcome.PASS)
    check = LiveCheck(limits=LIMITS)
    rows = {one.measure: one.n for one in check.judge(**DRIFT, now=partly, before=answered(900))}
    assert (rows["accuracy"], rows["prediction_shift"]) == (666, 1000)
    moved = replace(partly, predicted=np.where(later, 1, now.predicted))
    assert outcomes(moved, before=replace(now, predicted=np.where(later, 0, now.predicted))) == {
        **outcomes(partly),
        "prediction_shift": Outcome.FAIL,
    }
    assert outcomes(replace(now, target=np.full(1000, UNLABELLED))) == outcomes(answered(900, labelled=False))


@pytest.mark.parametrize(
    ("now", "fails"),
    [
        (answered(700), {"accuracy"}),
        (answered(900, confidence=0.55), {"calibration_error"}),
        (answered(900, ones=800), {"prediction_shift"}),
    ],
)
def test_each_fault_is_the_alarm_of_its_own_measure(now: Answers, fails: set[str]) -> None:
    found = outcomes(now)
    assert {name for name, outcome in found.items() if outcome is Outcome.FAIL} >= fails
    assert found["drifted_share"] is Outcome.PASS


def test_drift_beyond_its_limit_is_an_alarm() -> None:
    check = LiveCheck(limits={})
    drift = Measurement(value=0.4, n=1000, note="drifted: age")
    found = check.judge(drift=drift, drift_limit=Limit(at_most=0.1), now=answered(900), before=answered(900))
    assert len(alarms(found)) == 1
    assert "drifted: age" in alarms(found)[0]


def test_a_model_that_answers_nan_fails_all_it_is_asked() -> None:
    """Its argmax is class 0 for every row, which would be a calm model with equal groups."""
    found = outcomes(answered(900, confidence=float("nan")))
    assert {name: outcome for name, outcome in found.items() if name != "drifted_share"} == dict.fromkeys(
        LIMITS, Outcome.FAIL
    )


def test_a_number_that_was_not_produced_is_told_as_nan_by_whoever_failed() -> None:
    """NaN of the model is a FAIL and an alarm, NaN of the audit an ERROR and none; neither is the lack of a value."""
    broken = {"drift": Measurement(value=math.nan, n=1000), "drift_limit": Limit(at_most=0.1)}
    check = LiveCheck(limits=LIMITS)
    found = check.judge(**broken, now=answered(900, confidence=math.nan), before=answered(900))
    again = [Verdict.from_dict(verdict.to_dict()) for verdict in found]
    assert [one.outcome for one in again] == [Outcome.ERROR, *[Outcome.FAIL] * len(LIMITS)]
    assert all(one.value is not None and math.isnan(one.value) and one.margin is None for one in again)
    assert len(alarms(found)) == len(LIMITS)


def test_without_labels_only_the_shift_is_told() -> None:
    wanted = dict.fromkeys(LIMITS, Outcome.NOT_EVALUATED) | {"prediction_shift": Outcome.PASS}
    assert outcomes(answered(900, labelled=False)) == {"drifted_share": Outcome.PASS, **wanted}
    assert alarms(LiveCheck(limits=LIMITS).judge(**DRIFT, now=answered(1, labelled=False), before=answered(900))) == ()


def test_few_rows_alarm_nobody() -> None:
    assert outcomes(answered(7, n=10, ones=5))["accuracy"] is Outcome.INCONCLUSIVE


def test_the_doubt_is_shared_by_all_that_is_asked() -> None:
    (_, one) = LiveCheck(limits={"accuracy": LIMITS["accuracy"]}, alpha=0.2).judge(
        **DRIFT, now=answered(900), before=answered(900)
    )
    (_, of_four, *_) = LiveCheck(limits=LIMITS, alpha=0.2).judge(**DRIFT, now=answered(900), before=answered(900))
    right = answered(900).right
    assert one.interval == pytest.approx(accuracy(right, alpha=0.2).interval)
    assert of_four.interval == pytest.approx(accuracy(right, alpha=0.05).interval)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limits": {"acuracy": Limit(at_least=0)}}, "no measure 'acuracy'"),
        ({"alpha": 0}, "alpha"),
        ({"min_support": 0}, "min"),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        LiveCheck(**{"limits": LIMITS, **wrong})
