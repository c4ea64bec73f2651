"""A study read back as plain data."""

import math

import optuna

from safeguards.core.errors import TrialFailed
from safeguards.search import Ending, Search, Space
from safeguards.search.attempts import OWNER, Retry
from safeguards.search.story import read_story

SPACE = Space.read({"rate": {"type": "float", "low": 0.0, "high": 1.0}})


def told(search):
    return read_story(
        search.study, objectives=search.objectives, constraints=search.constraints, unmeasured=search.policy.unmeasured
    )


def train(task):
    if task.number == 1:
        raise TrialFailed("a process was killed")
    if task.number == 2:
        return Ending(state="pruned", reason="told to", violations={"toy/gap": 0.5})
    values = {"accuracy": 0.5 + task.number / 10}
    return Ending(state="complete", values=values, violations={"toy/gap": task.number - 3}, verdicts=({"n": 4},))


def test_every_trial_that_ended_is_told_with_what_became_of_it(tmp_path):
    one = Search(
        space=SPACE,
        objectives={"accuracy": "maximize"},
        constraints=["toy/gap"],
        sampler="random",
        storage=f"journal:{tmp_path / 'study.log'}",
    )
    one.run(train, trials=5)
    story = told(one)
    assert [(tried.number, tried.state, tried.reason) for tried in story.tried] == [
        (0, "complete", ""),
        (1, "failed", "a process was killed"),
        (2, "pruned", "told to"),
        (3, "complete", ""),
        (4, "complete", ""),
    ]
    assert [tried.values for tried in story.tried] == [{"accuracy": 0.5}, {}, {}, {"accuracy": 0.8}, {"accuracy": 0.9}]
    assert [tried.violations.get("toy/gap", math.nan) for tried in story.complete] == [-3.0, 0.0, 1.0]
    assert [tried.feasible for tried in story.tried] == [True, False, False, True, False]
    assert story.tried[0].verdicts == [{"n": 4}]
    assert 0 < story.tried[0].began <= story.tried[0].ended
    assert story.result == one.result()
    assert story.trial(3).values == {"accuracy": 0.8}
    assert story.best == [3]
    again = Search(
        space=SPACE,
        objectives={"accuracy": "maximize"},
        constraints=["toy/gap"],
        storage=f"journal:{tmp_path / 'study.log'}",
    )
    assert told(again) == story, "another search on it finds the same study"


def test_two_studies_of_one_name_are_two():
    searches = [Search(space=SPACE, objectives={"accuracy": "maximize"}) for _ in range(2)]
    first, second = map(told, searches)
    assert (first.name, first.tried) == (second.name, second.tried)
    assert first.identity != second.identity


def test_a_trial_whose_search_died_is_lost_and_one_elsewhere_is_not_ours():
    one = Search(space=SPACE, objectives={"accuracy": "maximize"}, sampler="random")
    trial = one.study.ask()
    trial.set_user_attr(OWNER, {"host": "elsewhere", "pid": 1, "started": "0"})
    SPACE.suggest(trial)
    one.study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert [(tried.state, tried.reason, tried.here) for tried in told(one).tried] == [
        ("failed", "its search was killed", False)
    ]
    Retry(2)(one.study, one.study.get_trials()[0])
    assert [(tried.state, tried.reason) for tried in told(one).tried] == [("lost", "its search was killed")]
    assert told(one).result.ended == 0
