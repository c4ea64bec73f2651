"""The year's simulation in small: what it counts, and that the gate is what makes the difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import year
from safeguards.core.errors import DataRefused
from safeguards.gate import Policy
from safeguards.retraining import Answers

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)


def test_models_are_as_good_as_it_is_said_and_alike_row_by_row(draw: np.random.Generator) -> None:
    pairs = [tuple(year.asked(draw, year.UNFAIR, year.EQUAL)) for _ in range(60)]
    small = pairs[0][0].groups["group"] == "small"
    unfair, equal = (np.stack([pair[place].right for pair in pairs]) for place in (0, 1))
    assert unfair[:, ~small].mean() == pytest.approx(year.UNFAIR.large, abs=0.01)
    assert unfair[:, small].mean() == pytest.approx(year.UNFAIR.small, abs=0.015)
    assert np.mean([pair[1].robust.mean() for pair in pairs]) == pytest.approx(year.EQUAL.robust, abs=0.01)
    assert unfair.mean() > equal.mean()  # by its score alone the unfair model wins
    both = np.mean(
        [
            np.mean(a == b)
            for a, b in (tuple(x.right for x in year.asked(draw, year.EQUAL, year.EQUAL)) for _ in range(60))
        ]
    )
    assert both > 0.85**2 + 0.15**2 + 0.05  # what two models that had nothing in common would agree on


def test_a_year_of_equal_challengers(draw: np.random.Generator) -> None:
    gate, score = year.equal_year(draw)
    assert gate == 0
    assert 15 <= score <= 37  # half of 52


@pytest.mark.parametrize("regressed", [year.UNFAIR, year.BRITTLE])
def test_planted_regressions_are_refused_and_win_by_their_score(
    draw: np.random.Generator, regressed: year.Truth
) -> None:
    weeks = [year.bad_week(draw, regressed) for _ in range(20)]
    assert sum(gate for gate, _ in weeks) == 0
    assert sum(score for _, score in weeks) >= 15


MILD = replace(year.EQUAL, large=0.97, small=0.74)  # 11 points worse in the small group, 5.1 better over all rows
BETTER = year.EQUAL.better_by(0.06)


@pytest.mark.parametrize("name", ["policy.yaml", "scans/policy.yaml"])
def test_the_policies_that_are_shipped_keep_out_what_is_worse_and_what_is_equal(
    name: str, draw: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their comparisons alone: limits on verdicts could not tell a loss from 0.95 to 0.84."""
    shipped = Policy.read(CONF / name)
    alone = replace(shipped, required=tuple(year.LIMITS), limits={}, against_champion={}, tracked=False)
    monkeypatch.setattr(year, "POLICY", alone)
    promoted = {
        truth: sum(year.bad_week(draw, truth)[0] for _ in range(50))
        for truth in (year.UNFAIR, MILD, year.BRITTLE, year.EQUAL, BETTER)
    }
    assert all(promoted[truth] <= 1 for truth in (year.UNFAIR, MILD, year.BRITTLE, year.EQUAL)), promoted
    assert promoted[BETTER] >= 35


def test_the_comparisons_are_what_refuses_them(draw: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(year, "POLICY", replace(year.POLICY, paired={"accuracy": year.POLICY.paired["accuracy"]}))
    for regressed in (year.UNFAIR, year.BRITTLE):
        assert sum(gate for gate, _ in (year.bad_week(draw, regressed) for _ in range(20))) > 3


def test_a_stale_champion_is_replaced_and_its_drift_is_found(draw: np.random.Generator) -> None:
    assert [year.weeks_until(draw, champion=year.STALE, challenger=year.EQUAL)[0] for _ in range(5)] == [1] * 5
    assert [year.drift_found(draw) for _ in range(5)] == [1] * 5
    assert not any(year.alarm(draw, shift=0.0) for _ in range(20))


def test_a_gate_without_correction_promotes_by_chance(
    draw: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {"accuracy": {"better": "higher", "minimum_effect": 0.001}}
    told = {"required": ["adversarial/robust_accuracy"], "paired": rules, "tracked": False}
    monkeypatch.setattr(year, "POLICY", Policy.of({**told, "false_promotion_rate": 0.2, "planned_attempts": 1}))
    assert sum(year.trial(draw, champion=year.EQUAL, challenger=year.EQUAL, attempts=0)[0] for _ in range(52)) > 5


def test_rows_that_stand_five_times_win_nothing(draw: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if they were five times as many they would promote equal models in one week of eleven; they are refused."""

    def trials(name: Callable[[np.ndarray], np.ndarray]) -> int:
        monkeypatch.setattr(year, "asked", lambda *given: (five_times(one, name) for one in asked(*given)))
        return sum(year.trial(draw, champion=year.EQUAL, challenger=year.EQUAL, attempts=0)[0] for _ in range(100))

    asked = year.asked
    assert trials(lambda ids: np.arange(5 * len(ids))) >= 3
    with pytest.raises(DataRefused, match="4000 of 5000 rows"):
        trials(lambda ids: np.repeat(ids, 5))


def five_times(one: Answers, name: Callable[[np.ndarray], np.ndarray]) -> Answers:
    whole = {field: np.repeat(getattr(one, field), 5) for field in ("target", "predicted", "confidence", "robust")}
    groups = {key: np.repeat(labels, 5) for key, labels in one.groups.items()}
    return Answers(ids=name(one.ids), groups=groups, **whole)


def test_the_page_has_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(year, "WEEKS", 2)
    found = year.measure(years=2)
    assert [len(row) for row in found.rows] == [len(found.headings)] * 8
    assert found.rows[0][1] == "a false promotion"
