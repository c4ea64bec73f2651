"""The answer of a search, worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.search import Candidate, Result


def candidate(number, *values, **violations):
    return Candidate(number=number, parameters={"rate": 0.5 + number}, values=values, violations=violations)


def result(*candidates, objectives=None, **more):
    given = {"objectives": objectives or {"accuracy": "maximize"}, "reasons": {}} | more
    return Result(candidates=candidates, **given)


def numbers(candidates):
    return [one.number for one in candidates]


def test_the_best_keeps_every_limit_although_others_are_better():
    found = result(candidate(0, 0.9, gap=0.2), candidate(1, 0.8, gap=0.0), candidate(2, 0.7, gap=-0.3))
    assert numbers(found.feasible) == [1, 2]
    assert numbers(found.best) == [1]
    assert numbers(found.best_of_all) == [0]


def test_without_constraints_the_best_is_the_best():
    assert numbers(result(candidate(0, 0.9), candidate(1, 0.95)).best) == [1]
    assert numbers(result(candidate(0, 0.9), candidate(1, 0.95), objectives={"loss": "minimize"}).best) == [0]


def test_of_equals_the_first_is_the_best():
    assert numbers(result(candidate(0, 0.7), candidate(1, 0.8), candidate(2, 0.8)).best) == [1]


def test_of_several_objectives_what_none_beats_is_the_front():
    ways = {"accuracy": "maximize", "seconds": "minimize"}
    every = [
        candidate(0, 0.9, 9.0, gap=0.0),
        candidate(1, 0.8, 2.0, gap=0.0),
        candidate(2, 0.8, 3.0, gap=0.0),
        candidate(3, 0.99, 1.0, gap=0.1),
        candidate(4, 0.9, 9.0, gap=-1.0),
    ]
    found = result(*every, objectives=ways)
    assert numbers(found.best) == [0, 1, 4]
    assert numbers(found.best_of_all) == [3]


def test_leaders_come_in_order_and_are_feasible():
    every = [
        candidate(0, 0.7, gap=0.0),
        candidate(1, 0.9, gap=0.1),
        candidate(2, 0.8, gap=0.0),
        candidate(3, 0.6, gap=0),
    ]
    assert numbers(result(*every).leaders(2)) == [2, 0]
    assert numbers(result(*every).leaders(9)) == [2, 0, 3]
    ways = {"accuracy": "maximize", "seconds": "minimize"}
    both = [candidate(0, 0.5, 5.0), candidate(1, 0.9, 9.0), candidate(2, 0.4, 6.0), candidate(3, 0.8, 1.0)]
    assert numbers(result(*both, objectives=ways).leaders(3)) == [1, 3, 0]


def test_when_nothing_is_feasible_the_closest_are_told_with_what_they_miss():
    every = [
        candidate(0, 0.9, gap=0.2, fair=-0.1),
        candidate(1, 0.8, gap=0.05, fair=0.05),
        candidate(2, 0.5, gap=0.3, fair=0.0),
        candidate(3, 0.6, gap=0.05, fair=0.05),
        candidate(4, 0.1, gap=9.0, fair=9.0),
    ]
    found = result(*every, pruned=2, reasons={7: "killed"})
    assert found.best == []
    assert numbers(found.closest) == [1, 3, 0]
    assert found.closest[2].missed() == {"gap": 0.2}
    text = found.text()
    assert text.splitlines()[:3] == [
        "8 trials: 5 trained to the end, 2 pruned, 1 failed; 0 feasible",
        "no trial is feasible; the closest:",
        "  trial 1: accuracy 0.8; misses gap by 0.05; misses fair by 0.05; rate=1.5",
    ]
    assert text.splitlines()[-1] == "failed 7: killed"


def test_a_study_without_a_trial_says_so():
    assert result().text() == "0 trials: 0 trained to the end, 0 pruned, 0 failed; 0 feasible"


rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(-1, 1)), max_size=12)


@pytest.mark.parametrize("ways", [("maximize", "minimize"), ("minimize", "minimize")])
@given(rows=rows)
def test_the_front_is_optunas(ways, rows):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=ways)
    for a, b, violation in rows:
        trial = study.ask()
        trial.set_constraint("gap", violation)
        study.tell(trial, [a, b])
    every = [candidate(number, a, b, gap=violation) for number, (a, b, violation) in enumerate(rows)]
    found = result(*every, objectives=dict(zip("ab", ways, strict=True)))
    assert numbers(found.best) == [trial.number for trial in study.best_trials]
