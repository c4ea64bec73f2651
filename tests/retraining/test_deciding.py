from __future__ import annotations

import pandas as pd
import pytest

from safeguards import Limit, Measurement, Outcome
from safeguards.core.errors import DataRefused
from safeguards.drift import compare_once, profile
from safeguards.retraining import broken, decision, refuse_broken

LIMIT = Limit(at_most=0.1)
DRIFTED = Measurement(value=0.5, interval=(0.5, 0.6), n=100, note="drifted: age")
STABLE = Measurement(value=0.0, interval=(0.0, 0.05), n=100)
UNSURE = Measurement(value=0.0, interval=(0.0, 0.5), n=100)


def decided(**given: object) -> tuple[bool, str, object]:
    usual = {
        "champion": True, "same_data": False, "forced": False, "on_schedule": False, "drift": STABLE, "limit": LIMIT,
    }  # fmt: skip
    found = decision(**{**usual, **given})
    return found.retrain, found.reason, found.drift


@pytest.mark.parametrize(
    ("given", "retrain", "said"),
    [
        ({"forced": True, "same_data": True}, True, "forced"),
        ({"champion": False, "drift": None}, True, "there is no champion yet"),
        ({"same_data": True, "on_schedule": True, "drift": DRIFTED}, False, "from these very data"),
        ({"drift": DRIFTED}, True, "drift FAIL: 0.5 [0.5, 0.6] against a limit of at most 0.1"),
        ({"drift": STABLE}, False, "drift PASS"),
        ({"drift": UNSURE}, False, "drift INCONCLUSIVE"),
        ({"on_schedule": True}, True, "on schedule, with new data; drift PASS"),
        ({"on_schedule": True, "drift": None}, True, "on schedule, with new data; drift was not measured"),
        ({"drift": None}, False, "drift was not measured"),
        ({"drift": DRIFTED, "drift_counts": False}, False, "drift FAIL"),
        ({"opened": "accuracy: 0.5"}, True, "a live audit opened it: accuracy: 0.5; drift PASS"),
        ({"opened": "accuracy: 0.5", "same_data": True}, False, "from these very data"),
    ],
)
def test_the_ladder(given: dict, retrain: bool, said: str) -> None:
    found, reason, _ = decided(**given)
    assert found is retrain
    assert said in reason


def test_the_outcome_of_the_drift_is_kept() -> None:
    assert decided(drift=DRIFTED)[2] is Outcome.FAIL
    assert decided(drift=UNSURE, on_schedule=True)[2] is Outcome.INCONCLUSIVE


BEFORE = pd.DataFrame({"age": range(100), "city": ["Bern", "Rome"] * 50, "income": [1.5] * 100})


def found(current: pd.DataFrame) -> list[str]:
    sides = [profile(frame, sample=1000) for frame in (BEFORE, current)]
    return broken(compare_once(*sides, alpha=0.05, min_effect=0.1))


@pytest.mark.parametrize(
    ("current", "said"),
    [
        (BEFORE.drop(columns="city"), "column 'city': column missing"),
        (BEFORE.assign(extra=1), "column 'extra': column added"),
        (BEFORE.assign(age="old"), "column 'age': type changed"),
        (BEFORE.assign(income=None), "column 'income': all gaps"),
        (BEFORE.assign(income=float("inf")), "column 'income': infinities"),
    ],
)
def test_a_feed_that_broke_is_named(current: pd.DataFrame, said: str) -> None:
    lines = found(current)
    assert len(lines) == 1
    assert lines[0].startswith(said)


def test_a_world_that_changed_is_no_broken_feed() -> None:
    assert found(BEFORE.assign(age=BEFORE.age + 1000, city="Oslo")) == []


def test_broken_data_are_refused_in_one_line() -> None:
    sides = [profile(frame, sample=1000) for frame in (BEFORE, BEFORE[[]].assign(**{f"new {i}": 1 for i in range(9)}))]
    comparisons = compare_once(*sides, alpha=0.05, min_effect=0.1)
    with pytest.raises(DataRefused, match="and 7 more columns") as caught:
        refuse_broken(comparisons)
    assert "\n" not in str(caught.value)
    same = [profile(BEFORE, sample=1000)] * 2
    refuse_broken(compare_once(*same, alpha=0.05, min_effect=0.1))
