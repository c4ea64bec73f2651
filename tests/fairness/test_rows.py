"""Groups compared outside of a training: the numbers are the guard's."""

from __future__ import annotations

import numpy as np
import pytest

from safeguards import Limit
from safeguards.core.errors import NotApplicable
from safeguards.core.limit import decide
from safeguards.core.verdict import Outcome
from safeguards.fairness import MEASURES, compare_groups

WORST = {"worst_group_accuracy": Limit(at_least=0.5)}
TRUE = np.ones(150, dtype=np.int64)
GUESS = np.array([1] * 90 + [0] * 10 + [1] * 30 + [0] * 20)
GROUP = {"side": ["a"] * 100 + ["b"] * 50}


def test_by_hand() -> None:
    found = compare_groups(WORST, GROUP, true=TRUE, guess=GUESS)["worst_group_accuracy"]
    assert (found.value, found.n) == (0.6, 150)
    assert [(row["group"], row["accuracy"]) for row in found.details["groups"]] == [("side=a", 0.9), ("side=b", 0.6)]
    assert "0.600 in side=b (50 rows)" in found.note


def test_every_measure_is_fairlearns() -> None:
    from fairlearn import metrics

    draw = np.random.default_rng(0)
    true, guess, side = draw.integers(2, size=400), draw.integers(2, size=400), draw.choice(["a", "b", "c"], 400)
    limits = {name: Limit(at_least=0.0) for name in MEASURES if name != "worst_group_accuracy"}
    found = compare_groups(limits, {"side": side.tolist()}, true=true, guess=guess)
    for name, one in found.items():
        wanted = getattr(metrics, name)(true, guess, sensitive_features=side)
        assert one.value == pytest.approx(wanted), name
        assert one.interval[0] <= wanted <= one.interval[1]


def test_attributes_are_crossed_too() -> None:
    other = {**GROUP, "age": ["young", "old"] * 75}
    found = compare_groups(WORST, other, true=TRUE, guess=GUESS)["worst_group_accuracy"]
    assert set(found.details["by_grouping"]) == {"side", "age", "side & age"}


def test_more_doubt_allowed_is_a_narrower_interval() -> None:
    wide, narrow = (
        compare_groups(WORST, GROUP, true=TRUE, guess=GUESS, alpha=alpha)["worst_group_accuracy"].interval
        for alpha in (0.01, 0.2)
    )
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_a_group_of_few_rows_lets_nothing_pass() -> None:
    groups = {"side": ["a"] * 72 + ["b"] * 70 + ["tiny"] * 8}
    found = compare_groups(WORST, groups, true=TRUE, guess=TRUE)["worst_group_accuracy"]
    assert decide(found, WORST["worst_group_accuracy"]).outcome is Outcome.INCONCLUSIVE
    assert "side=tiny (8)" in found.note


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({}, "no attribute"),
        ({"side": ["A"] * 75 + ["a"] * 75}, "look like one group"),
        ({"side": [str(row) for row in range(150)]}, "more than 50 groups"),
    ],
)
def test_what_cannot_be_compared_decides_nothing(groups: dict, said: str) -> None:
    found = compare_groups(WORST, groups, true=TRUE, guess=GUESS)["worst_group_accuracy"]
    assert said in found.insufficient


def test_no_rows_and_no_classes() -> None:
    empty = np.empty(0, dtype=np.int64)
    assert (
        "no rows" in compare_groups(WORST, {"side": []}, true=empty, guess=empty)["worst_group_accuracy"].insufficient
    )
    with pytest.raises(NotApplicable, match="label -1 is no class"):
        compare_groups(WORST, GROUP, true=TRUE - 2, guess=GUESS)
