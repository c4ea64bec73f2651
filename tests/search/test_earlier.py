"""What a search takes from earlier ones: the same study, values to try first, the best of another study."""

import math

import optuna
import pytest

from safeguards.core.errors import ConfigurationError
from safeguards.search import Policy, Space
from tests.search.told import complete, search


@pytest.mark.parametrize(
    "other",
    [
        {"constraints": ["toy/gap", "toy/new"]},
        {"objectives": {"loss": "maximize"}},
        {"policy": Policy(inconclusive_is_feasible=True)},
        {"space": Space.read({"kind": {"type": "categorical", "choices": ["a", "c"]}})},
    ],
)
def test_a_study_that_asked_for_something_else_is_not_continued(kept, other):
    search(kept).run(lambda _: complete(), trials=1)
    with pytest.raises(ConfigurationError, match="give the search another name"):
        search(kept, **other)


def test_values_to_try_first_are_tried_first_and_once(kept):
    seen = []
    asked = {"rate": 0.125, "kind": "b", "more": 2}
    for trials in (2, 3):
        one = search(kept)
        one.enqueue(asked)
        one.run(lambda task: seen.append(task.parameters) or complete(), trials=trials)
    assert seen[0] == asked
    assert (len(seen), seen.count(asked)) == (3, 1)
    one.enqueue(seen[1])  # drawn, not asked for
    assert [trial.state.name for trial in one.study.get_trials()] == ["COMPLETE"] * 3
    with pytest.raises(ConfigurationError, match="the space has no 'rat'; did you mean 'rate'"):
        search(kept).enqueue({"rat": 0.5})


@pytest.mark.parametrize(
    "outside",
    [{"rate": 1.5}, {"rate": "0.5"}, {"rate": True}, {"kind": "c"}, {"more": 4}, {"more": 1.0}, {"rate": math.nan}],
)
def test_a_value_outside_the_space_is_not_tried(kept, outside):
    with pytest.raises(ConfigurationError, match="lies outside the space"):
        search(kept).enqueue(outside)


def test_what_the_last_study_found_best_is_tried_first(kept):
    def train(task):
        return complete(task.parameters["rate"], 0.1 if task.number == 0 else -0.1)

    last = search(kept, name="last")
    for rate in (0.99, 0.2, 0.5, 0.4, 0.1):  # the first keeps no limit, the third lies outside the next space
        last.enqueue({"rate": rate, "kind": "b", "more": 2})
    last.run(train, trials=5)
    wider = {"rate": {"type": "float", "low": 0.0, "high": 0.45}, "new": {"type": "int", "low": 1, "high": 9}}
    one = search(kept, name="now", space=Space.read(wider), constraints=["toy/other"])
    assert one.learn_from("last", best=4) == 4
    seen = []
    one.run(lambda task: seen.append(task.parameters) or complete(), trials=4)
    assert [given["rate"] for given in seen[:3]] == [0.4, 0.2, 0.1]
    assert all(1 <= given["new"] <= 9 for given in seen)


def test_a_study_to_learn_from_must_be_there_and_be_a_searchs(kept):
    one = search(kept)
    with pytest.raises(ConfigurationError, match="no study 'lats' to learn from; there are search"):
        one.learn_from("lats")
    optuna.create_study(storage=one.study._storage, study_name="foreign")
    with pytest.raises(ConfigurationError, match="'foreign' was not made by a Search"):
        one.learn_from("foreign")
