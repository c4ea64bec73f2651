"""Paired comparisons: exact by hand, then against scipy and statsmodels, then a year of equal models."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from safeguards import ConfigurationError
from safeguards.gate import Comparison, compare_means, compare_rates
from safeguards.gate.paired import OF_THE_SHARE, means_interval, rates_interval


def test_rates_by_hand():
    """Four rows: one gained, two lost, one that both got right."""
    found = compare_rates("accuracy", [0, 1, 1, 1], [1, 0, 0, 1], data="holdout")
    assert (found.champion, found.challenger, found.difference) == (0.75, 0.5, -0.25)
    assert (found.gains, found.losses, found.n) == (1, 2, 4)
    wins, apart = stats.beta.ppf([0.0225, 0.9775], [1, 2], [3, 2]), stats.beta.ppf(0.9975, 4, 1)
    assert found.interval == pytest.approx(tuple((2 * wins - 1) * apart))


def test_means_by_hand():
    """Differences 1, 2, 3: mean 2, standard deviation 1, and t of 2 degrees at 97.5 % is 4.3027."""
    found = compare_means("loss", [1, 1, 1], [2, 3, 4], data="holdout", unit="nats")
    assert (found.champion, found.challenger, found.difference, found.deviation) == (1.0, 3.0, 2.0, 1.0)
    assert found.interval == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


@pytest.mark.parametrize(("gains", "losses"), [(0, 1), (0, 5), (0, 6), (0, 7), (1, 9), (3, 17), (20, 40), (30, 40)])
@pytest.mark.parametrize("alpha", [0.05, 0.1 / 52])
def test_zero_is_inside_as_mcnemars_exact_test_says(gains, losses, alpha):
    p = mcnemar([[200, gains], [losses, 10]], exact=True).pvalue
    low, high = rates_interval(gains, losses, 210 + gains + losses, alpha)
    assert (high < 0) == (p < (1 - OF_THE_SHARE) * alpha)
    assert low < 0
    assert rates_interval(losses, gains, 210 + gains + losses, alpha) == pytest.approx((-high, -low))


def test_means_are_those_of_students_paired_test():
    draw = np.random.default_rng(0)
    was = draw.gamma(2, size=40)
    now = was + draw.normal(0.1, 0.5, size=40)
    expected = stats.ttest_rel(now, was).confidence_interval(0.99)
    found = compare_means("loss", was, now, data="holdout")
    assert found.bounds(0.01) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("apart", [0.002, 0.02, 0.1, 0.4])
@pytest.mark.parametrize("tilt", [0.5, 0.6, 0.9])
@pytest.mark.parametrize("alpha", [0.05, 0.002])
def test_the_interval_of_rates_holds_the_difference_as_often_as_it_says(apart, tilt, alpha):
    """All outcomes of 400 rows, weighted by their probability: no simulation."""
    n, truth, missed = 400, (2 * tilt - 1) * apart, 0.0
    for rows in range(n + 1):
        of_rows = stats.binom.pmf(rows, n, apart)
        if of_rows < 1e-6:
            continue
        chances = stats.binom.pmf(range(rows + 1), rows, tilt)
        for gains in range(rows + 1):
            of_gains = chances[gains]
            if of_gains < 1e-6:
                continue
            low, high = _cached(gains, rows - gains, n, alpha)
            missed += of_rows * of_gains * (not low <= truth <= high)
    assert missed <= alpha


_KNOWN: dict = {}


def _cached(*key):
    if key not in _KNOWN:
        _KNOWN[key] = rates_interval(*key)
    return _KNOWN[key]


def test_it_is_a_third_wider_than_walds():
    """What the documentation says of 10 % of disagreement among 1000 rows."""
    low, high = rates_interval(50, 50, 1000, 0.05)
    assert (high - low) / (2 * 1.96 * math.sqrt(0.1 / 1000)) == pytest.approx(1.37, abs=0.04)


def test_nothing_is_known_of_models_that_never_disagree():
    low, high = rates_interval(0, 0, 1000, 0.05)
    assert -low == high == pytest.approx(0.0053, abs=0.001)
    assert means_interval(0.5, 0.0, 1, 0.05) == (-math.inf, math.inf)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 500), st.floats(1e-6, 0.5))
def test_the_interval_holds_the_value_and_grows_with_doubt(gains, losses, agreed, alpha):
    n = gains + losses + agreed
    if n == 0:
        return
    low, high = rates_interval(gains, losses, n, alpha)
    assert -1 <= low <= (gains - losses) / n <= high <= 1
    wider = rates_interval(gains, losses, n, alpha / 2)
    assert wider[0] <= low + 1e-12
    assert wider[1] >= high - 1e-12


@given(st.permutations(range(20)))
def test_the_order_of_the_rows_does_not_matter_their_pairing_does(order):
    was, now = np.arange(20) % 3 == 0, np.arange(20) % 4 == 0
    assert compare_rates("a", was[order], now[order], data="d") == compare_rates("a", was, now, data="d")
    assert compare_rates("a", [1, 0], [0, 1], data="d").gains != compare_rates("a", [1, 0], [1, 0], data="d").gains


def test_a_gain_points_the_same_way_whichever_is_better():
    more = compare_rates("accuracy", [0, 0, 1] * 20, [1, 0, 1] * 20, data="d")
    less = compare_means("loss", [2.0, 1.0, 2.5] * 20, [1.0, 1.0, 2.0] * 20, data="d")
    up, down = (more.measured(alpha=0.05, higher_is_better=True), less.measured(alpha=0.05, higher_is_better=False))
    assert up.value == pytest.approx(1 / 3)
    assert down.value == pytest.approx(0.5)
    assert up.interval[0] > 0
    assert down.interval[0] > 0
    assert more.measured(alpha=0.05, higher_is_better=False).interval == (-up.interval[1], -up.interval[0])


def test_numbers_that_are_none_and_few_rows_carry_no_decision():
    nan = compare_means("loss", [1.0] * 40, [1.0] * 39 + [math.nan], data="d")
    assert nan.measured(alpha=0.05, higher_is_better=False).model_fault
    infinite = compare_means("loss", [1.0] * 40, [1.0] * 39 + [math.inf], data="d")
    assert infinite.measured(alpha=0.05, higher_is_better=False).model_fault
    was = compare_means("loss", [math.nan] * 40, [1.0] * 40, data="d").measured(alpha=0.05, higher_is_better=False)
    assert (was.model_fault, was.insufficient is None) == (None, False)
    few = compare_means("loss", [1.0] * 29, [0.5] * 29, data="d").measured(alpha=0.05, higher_is_better=False)
    assert "29 rows are too few" in few.insufficient
    for one in (nan, infinite):
        assert str(Comparison.from_dict(one.to_dict())) == str(one)


@pytest.mark.parametrize(("was", "now"), [([1, 0], [1]), ([], []), ([[1]], [[1]]), ([0.5, 1], [1, 1]), (["a"], ["b"])])
def test_rows_that_are_not_the_same_are_refused(was, now):
    with pytest.raises(ConfigurationError, match="accuracy"):
        compare_rates("accuracy", was, now, data="d")


def years(promotes, *, years=400, runs=52, n=500, quality=0.8):
    """The share of years in which an equal model was promoted at least once: fresh rows each week, FAULTS R2."""
    rng = np.random.default_rng(1)
    fooled = 0
    for _ in range(years):
        shared = rng.random((runs, n)) < 0.6  # rows that both get right or wrong alike
        both = rng.random((runs, n)) < quality
        one, other = (np.where(shared, both, rng.random((runs, n)) < quality) for _ in range(2))
        gains, losses = (other & ~one).sum(1), (one & ~other).sum(1)
        fooled += any(promotes(int(g), int(h), n) for g, h in zip(gains, losses, strict=True))
    return fooled / years


def test_a_year_of_equal_models_promotes_one_in_at_most_five_of_a_hundred_years():
    """Better score wins in half of the weeks and nearly every year, an uncorrected test in most; ours in under 5 %."""
    better = years(lambda gains, losses, n: gains > losses)
    plain = years(lambda gains, losses, n: stats.binom.sf(gains - 1, gains + losses, 0.5) < 0.05)
    ours = years(lambda gains, losses, n: _cached(gains, losses, n, 2 * 0.05 / 52)[0] > 0)
    assert better > 0.98
    assert plain > 0.75
    assert ours < 0.05
    assert years(lambda gains, losses, n: gains > losses, runs=1) == pytest.approx(0.5, abs=0.08)
