"""Exact bounds and looks: numbers by hand, then scipy, then what must hold for any rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from safeguards.core.intervals import alpha_of_look, clopper_pearson

CASES = [(0, 3), (1, 1), (1, 7), (3, 10), (10, 10), (30, 88), (400, 512), (4999, 5000), (250_000, 10**6)]


def test_no_hits_and_all_hits_by_hand() -> None:
    """No hit in 10 rows has probability (1 - rate)^10: it is alpha / 2 where the rate is 1 - (alpha / 2)^(1 / 10)."""
    low, high = clopper_pearson([0, 10], [10, 10], alpha=0.05)
    assert (low[0], high[1]) == (0, 1)
    assert high[0] == pytest.approx(1 - 0.025 ** (1 / 10))
    assert low[1] == pytest.approx(0.025 ** (1 / 10))


def test_no_rows_leave_the_whole_scale() -> None:
    low, high = clopper_pearson([0], [0], alpha=0.05)
    assert (low[0], high[0]) == (0, 1)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001, 1e-6])
@pytest.mark.parametrize(("hits", "rows"), CASES)
def test_equals_the_exact_interval_of_scipy(hits: int, rows: int, alpha: float) -> None:
    exact = binomtest(hits, rows).proportion_ci(1 - alpha, method="exact")
    low, high = clopper_pearson(hits, rows, alpha)
    assert (float(low), float(high)) == pytest.approx((exact.low, exact.high), rel=1e-9)


def test_many_rates_at_once_are_each_by_itself() -> None:
    hits, rows = np.array(CASES[:6]).T.reshape(2, 2, 3)
    together = clopper_pearson(hits, rows, 0.05)
    alone = [clopper_pearson(int(k), int(n), 0.05) for k, n in zip(hits.flat, rows.flat, strict=True)]
    assert [ends.shape for ends in together] == [(2, 3), (2, 3)]
    assert [ends.ravel().tolist() for ends in together] == [list(map(float, ends)) for ends in zip(*alone, strict=True)]


@given(rate=st.floats(0.001, 0.999), rows=st.integers(1, 60), alpha=st.sampled_from([0.2, 0.05, 0.001]))
def test_it_holds_any_true_rate_with_probability_1_minus_alpha(rate: float, rows: int, alpha: float) -> None:
    hits = np.arange(rows + 1)
    low, high = clopper_pearson(hits, np.full(rows + 1, rows), alpha)
    missed = binom.pmf(hits, rows, rate)[(rate < low) | (rate > high)].sum()
    assert missed <= alpha + 1e-9


def test_looks_spend_less_and_less_by_hand() -> None:
    assert alpha_of_look(0.05, 1) == pytest.approx(0.0303964, abs=1e-7)
    assert alpha_of_look(0.05, 2) == pytest.approx(0.0075991, abs=1e-7)
    assert alpha_of_look(0.05, 10) == pytest.approx(0.000303964, abs=1e-9)


def test_all_looks_together_spend_alpha_and_never_more() -> None:
    assert 0.04999 < sum(alpha_of_look(0.05, look) for look in range(1, 100_000)) < 0.05
