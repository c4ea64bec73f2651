"""What a YAML file says may vary, and where it goes in a configuration."""

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.errors import ConfigurationError
from safeguards.search.space import Space, place

TEXT = """
a.rate: {type: float, low: 1e-4, high: 1e-1, log: true}
a.width: {type: int, low: 8, high: 32, step: 8}
a.momentum: {type: float, low: 0.0, high: 0.9, when: {a.optimizer: sgd}}
a.optimizer: {type: categorical, choices: [adam, sgd]}
a.nesterov: {type: categorical, choices: [true, false], when: {a.optimizer: [sgd]}}
a.damp: {type: categorical, choices: [0, 1], when: {a.nesterov: false}}
"""


def space():
    return Space.read(yaml.safe_load(TEXT))


def drawn(n, seed=0):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space().suggest(study.ask()) for _ in range(n)]


def test_numbers_without_a_point_before_the_exponent_are_numbers_too():
    assert yaml.safe_load("1e-4") == "1e-4"
    rate = next(one for one in space().dimensions if one.key == "a.rate")
    assert (rate.low, rate.high, rate.log) == (1e-4, 0.1, True)


def test_values_lie_in_their_ranges_and_conditions_hold():
    every = drawn(200)
    assert all(1e-4 <= one["a.rate"] <= 0.1 for one in every)
    assert {one["a.width"] for one in every} == {8, 16, 24, 32}
    assert all(type(one["a.width"]) is int for one in every)
    sgd = [one for one in every if one["a.optimizer"] == "sgd"]
    assert 60 < len(sgd) < 140
    assert all(("a.momentum" in one) == ("a.nesterov" in one) == (one["a.optimizer"] == "sgd") for one in every)
    assert all(("a.damp" in one) == (one.get("a.nesterov") is False) for one in every)
    assert sum(one["a.rate"] < 10**-2.5 for one in every) in range(70, 131), "log: half lie below the geometric middle"


def test_corners_hold_every_edge_with_its_conditions():
    corners = space().corners()
    for key, edges in {
        "a.rate": {1e-4, 0.1},
        "a.width": {8, 32},
        "a.optimizer": {"adam", "sgd"},
        "a.momentum": {0.0, 0.9},
        "a.nesterov": {True, False},
        "a.damp": {0, 1},
    }.items():
        assert {one[key] for one in corners if key in one} == edges
    assert all(("a.damp" in one) == (one.get("a.nesterov") is False) for one in corners)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"a": {"type": "flot", "low": 0, "high": 1}}, "type 'flot' of 'a': expected float, int, categorical"),
        ({"a": 3}, "type 3 of 'a'"),
        ({}, "expected a dimension per key"),
        ({"a": {"type": "float", "low": 0, "hihg": 1}}, "'a' of type float has no 'hihg'; did you mean 'high'?"),
        ({"a": {"type": "float", "low": 0}}, "high=None of 'a': expected a finite number"),
        ({"a": {"type": "float", "low": 1, "high": 1}}, "expected low < high"),
        ({"a": {"type": "float", "low": 0, "high": ".inf"}}, "expected a finite number"),
        ({"a": {"type": "float", "low": 0, "high": True}}, "high=True of 'a'"),
        ({"a": {"type": "int", "low": 0.5, "high": 2}}, "low=0.5 of 'a': expected a whole number"),
        ({"a": {"type": "float", "low": 0, "high": 1, "log": True}}, "expected true with low > 0"),
        ({"a": {"type": "int", "low": 1, "high": 9, "step": 2, "log": True}}, "expected step > 0 without log"),
        ({"a": {"type": "int", "low": 1, "high": 9, "step": 0}}, "expected step > 0"),
        ({"a": {"type": "int", "low": 1, "high": 9, "step": 3}}, "'a' from 1.0 does not reach 9.0 in steps of 3.0"),
        ({"a": {"type": "categorical", "choices": []}}, "expected a list of texts, numbers or flags"),
        ({"a": {"type": "categorical", "choices": [[1]]}}, "expected a list of texts, numbers or flags"),
        ({"a": {"type": "categorical", "choices": [float("nan")]}}, "expected a list of texts, numbers or flags"),
        (
            {
                "a": {"type": "categorical", "choices": [1]},
                "b": {"type": "int", "low": 0, "high": 1, "when": {"aa": 1}},
            },
            "'b' depends on 'aa'; did you mean 'a'?",
        ),
        (
            {"a": {"type": "categorical", "choices": [1]}, "b": {"type": "int", "low": 0, "high": 1, "when": {"a": 2}}},
            "expected choices of 'a', which are [1]",
        ),
        (
            {
                "a": {"type": "categorical", "choices": [1]},
                "b": {"type": "int", "low": 0, "high": 1, "when": {"a": True}},
            },
            "expected choices of 'a'",
        ),
        (
            {
                "a": {"type": "categorical", "choices": [1], "when": {"b": 1}},
                "b": {"type": "categorical", "choices": [1], "when": {"a": 1}},
            },
            "'a', 'b' depend on each other in a circle",
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_key(spec, said):
    with pytest.raises(ConfigurationError) as error:
        Space.read(spec)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


CONFIGURATION = {"model": {"class_path": "A", "init_args": {"w": 1}}, "trainer": {"callbacks": [{"n": 1}, {"n": 2}]}}


def test_values_go_to_their_keys_and_the_original_stays():
    before = yaml.safe_dump(CONFIGURATION)
    placed = place(CONFIGURATION, {"model.init_args.w": 3, "trainer.callbacks.1.n": 5, "new.key": None})
    assert placed["model"]["init_args"] == {"w": 3}
    assert placed["trainer"]["callbacks"] == [{"n": 1}, {"n": 5}]
    assert placed["new"] == {"key": None}
    assert yaml.safe_dump(CONFIGURATION) == before


def test_another_class_does_not_inherit_the_options_of_the_former():
    placed = place(CONFIGURATION, {"model.init_args.z": 3, "model.class_path": "B"})
    assert placed["model"] == {"class_path": "B", "init_args": {"z": 3}}
    assert place(CONFIGURATION, {"model.class_path": "A"})["model"] == CONFIGURATION["model"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("trainer.callbacks.2.n", "'trainer.callbacks' is a list; expected a number from 0 to 1"),
        ("trainer.callbacks.first.n", "expected a number from 0 to 1"),
        ("model.class_path.x", "leads into 'model.class_path', which is 'A'"),
    ],
)
def test_a_key_that_leads_nowhere_is_told(key, said):
    with pytest.raises(ConfigurationError) as error:
        place(CONFIGURATION, {key: 1})
    assert said in str(error.value)


@given(low=st.integers(-50, 50), steps=st.integers(1, 9), step=st.integers(1, 9), seed=st.integers(0, 9))
def test_whole_numbers_stay_on_their_steps(low, steps, step, seed):
    width = steps * step
    one = Space.read({"a": {"type": "int", "low": low, "high": low + width, "step": step}})
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = one.suggest(study.ask())["a"]
    assert low <= value <= low + width
    assert (value - low) % step == 0
