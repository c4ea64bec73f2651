"""Shares of parameters, of studies whose truth is known."""

import math

import optuna
import pytest

from safeguards.search.importance import importance

RATE = optuna.distributions.FloatDistribution(0.0, 1.0)
DEPTH = optuna.distributions.CategoricalDistribution(["a", "b"])


def study(trials=24, gap=lambda rate, idle: idle, lacks=()):
    """The accuracy is the rate's alone, the gap what it is said to be; a third parameter is there every second time."""
    made = optuna.create_study(direction="maximize")
    for number in range(trials):
        rate, idle = number * 7 % trials / trials, number * 5 % trials / trials
        params = {"rate": rate, "idle": idle} | ({"kind": "a"} if number % 2 else {})
        spread = {name: DEPTH if name == "kind" else RATE for name in params}
        violation = {} if number in lacks else {"toy/gap": gap(rate, idle)}
        made.add_trial(
            optuna.create_trial(
                params=params,
                distributions=spread,
                value=rate,
                system_attrs={f"constraints:{name}": value for name, value in violation.items()},
            )
        )
    return made


def shares(made):
    return importance(made, objectives=["accuracy"], constraints=["toy/gap"], unmeasured=1000.0)


def test_each_target_is_explained_by_what_makes_it():
    found = shares(study())
    assert list(found) == ["accuracy", "toy/gap"]
    assert found["accuracy"]["rate"] > 0.9
    assert found["toy/gap"]["idle"] > 0.9
    assert [set(one) for one in found.values()] == [{"rate", "idle"}] * 2
    assert [sum(one.values()) for one in found.values()] == pytest.approx([1.0, 1.0])
    assert found == shares(study()), "the same trials give the same shares"


def test_too_few_trials_and_what_never_varies_say_nothing():
    assert shares(study(9)) == {}
    assert set(shares(study(10))) == {"accuracy", "toy/gap"}
    assert set(shares(study(gap=lambda rate, idle: 0.25))) == {"accuracy"}


def test_what_was_never_measured_moves_nothing():
    """Six trials without a gap stand for 1000 each and would drown the others; ten that have one are enough."""
    assert shares(study(lacks=range(6)))["toy/gap"]["idle"] > 0.9
    assert set(shares(study(lacks=range(15)))) == {"accuracy"}
    spoilt = study(gap=lambda rate, idle: 1000.0 if rate > 0.8 else idle)
    assert shares(spoilt)["toy/gap"]["idle"] > 0.9
    assert not math.isnan(shares(spoilt)["toy/gap"]["idle"])
