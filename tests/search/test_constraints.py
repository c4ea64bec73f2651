"""Feasible is what a verdict lets pass, and nothing else; numbers by hand first."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards import Limit, Outcome
from safeguards.core.errors import ConfigurationError
from safeguards.search.constraints import Policy, violation, violations
from tests.search.verdict import AT_MOST, broken, judged

STRICT, LENIENT = Policy(), Policy(inconclusive_is_feasible=True)
AT_LEAST = Limit(at_least=0.7)


@pytest.mark.parametrize(
    ("verdict", "strict", "lenient"),
    [
        (judged(0.04, (0.02, 0.06)), -0.04, -0.08),
        (judged(0.04, (0.02, 0.16)), 0.06, -0.08),
        (judged(0.30, (0.25, 0.40)), 0.30, 0.15),
        (judged(0.80, (0.75, 0.90), limit=AT_LEAST), -0.05, -0.20),
        (judged(0.80, (0.60, 0.90), limit=AT_LEAST), 0.10, -0.20),
        (judged(0.50, (0.40, 0.60), limit=AT_LEAST), 0.30, 0.10),
        (judged(0.04), -0.06, -0.06),
        (judged(0.14), 0.04, 0.04),
        (judged(0.10), 0.0, 0.0),
    ],
)
def test_the_end_of_the_interval_that_decides_gives_the_number(verdict, strict, lenient):
    assert violation(verdict, STRICT) == pytest.approx(strict, abs=1e-12)
    assert violation(verdict, LENIENT) == pytest.approx(lenient, abs=1e-12)


@pytest.mark.parametrize(("value", "expected"), [(0.04, -0.06), (0.14, 0.04)])
def test_where_the_value_decides_the_interval_is_not_asked(value, expected):
    verdict = judged(value, (0.0, 0.5), on="point")
    assert violation(verdict, STRICT, decide_on="point") == pytest.approx(expected)


@pytest.mark.parametrize(
    "verdict",
    [
        broken(Outcome.ERROR),
        broken(Outcome.NOT_EVALUATED),
        judged(math.nan, model_fault="the model produced NaN"),
        judged(0.04, model_fault="one row is NaN"),
        judged(0.04, (0.02, 0.16), model_fault="one row is NaN"),
        judged(math.nan),
        judged(math.nan, insufficient="no rows were seen"),
        judged(0.04, (0.02, 0.06), insufficient="3 rows"),
        judged(0.04, (-math.inf, math.inf)),
        judged(0.5, (0.2, math.inf)),
    ],
)
def test_what_has_no_number_violates_by_a_large_finite_one(verdict):
    assert violation(verdict, STRICT) == 1000.0
    assert violation(verdict, Policy(unmeasured=7.0)) == 7.0


def test_no_violation_exceeds_that_of_what_was_never_measured():
    assert violation(judged(9e5), STRICT) == 1000.0


def test_too_few_rows_are_feasible_only_for_a_policy_that_says_so():
    few = judged(0.04, (0.02, 0.06), insufficient="3 rows")
    assert violation(few, LENIENT) == pytest.approx(-0.08)
    assert violation(judged(math.nan, insufficient="no rows"), LENIENT) == 1000.0


numbers = st.floats(-5, 5) | st.just(math.nan) | st.just(math.inf)


@given(
    value=numbers,
    ends=st.none() | st.tuples(numbers, numbers),
    bound=st.floats(-2, 2),
    upper=st.booleans(),
    on=st.sampled_from(["interval", "point"]),
    words=st.sampled_from([{}, {"insufficient": "few"}, {"model_fault": "NaN"}]),
)
def test_feasible_is_exactly_what_the_outcome_admits(value, ends, bound, upper, on, words):
    limit = Limit(at_most=bound) if upper else Limit(at_least=bound)
    interval = None if ends is None else tuple(sorted(ends))
    verdict = judged(value, interval, limit=limit, on=on, **words)
    found = violation(verdict, STRICT, decide_on=on)
    assert math.isfinite(found)
    assert (found <= 0) == verdict.outcome.admits
    lenient = violation(verdict, LENIENT, decide_on=on)
    assert math.isfinite(lenient)
    if lenient <= 0:
        assert verdict.outcome.admits or verdict.outcome is Outcome.INCONCLUSIVE
    assert lenient <= found


@given(low=st.floats(-1, 1), wide=st.floats(0, 1), further=st.floats(0, 1))
def test_a_worse_interval_is_never_a_smaller_violation(low, wide, further):
    better = judged(low, (low, low + wide))
    worse = judged(low + further, (low + further, low + wide + further))
    assert violation(better, STRICT) <= violation(worse, STRICT) + 1e-12


def test_every_constraint_gets_a_number_whatever_was_judged():
    assert violations([], ["toy/gap", "toy/other"], STRICT) == {"toy/gap": 1000.0, "toy/other": 1000.0}
    found = violations([judged(0.04), judged(0.01, measure="not asked")], ["toy/gap", "toy/other"], STRICT)
    assert found == {"toy/gap": pytest.approx(-0.06), "toy/other": 1000.0}


def test_the_last_verdict_counts_and_an_error_at_the_end_undoes_a_pass():
    assert violations([judged(0.3), judged(0.04)], ["toy/gap"], STRICT) == {"toy/gap": pytest.approx(-0.06)}
    assert violations([judged(0.04), broken()], ["toy/gap"], STRICT) == {"toy/gap": 1000.0}


def test_of_several_loaders_the_worst_counts():
    both = [judged(0.14, loader="a"), judged(0.04, loader="b")]
    assert violations(both, ["toy/gap"], STRICT) == {"toy/gap": pytest.approx(0.04)}


def test_rows_of_a_test_choose_nothing():
    found = violations([judged(0.3), judged(0.0, stage="test")], ["toy/gap"], STRICT)
    assert found == {"toy/gap": pytest.approx(0.2)}


def test_what_decided_is_told_by_safeguard():
    wide = [judged(0.04, (0.0, 0.5), on="point")]
    assert violations(wide, ["toy/gap"], STRICT, decided_on={"toy": "point"}) == {"toy/gap": pytest.approx(-0.06)}


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_a_policy_that_would_pass_the_unmeasured_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="finite number above 0"):
        Policy(unmeasured=wrong)


def test_the_limit_of_these_tests_is_what_they_say():
    assert AT_MOST.bound == 0.1
