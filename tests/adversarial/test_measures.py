import math

import numpy as np
import pytest
from scipy.stats import binomtest

from safeguards.adversarial.measures import Share, alpha_of_look, carried


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 10), (400, 512), (1, 1)])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_the_interval_is_that_of_clopper_and_pearson(hits: int, n: int, alpha: float) -> None:
    expected = binomtest(hits, n).proportion_ci(1 - alpha, method="exact")
    assert Share(hits=hits, n=n).interval(alpha) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_rows_have_no_share_and_may_have_any() -> None:
    share = Share.of(np.zeros(0, dtype=bool))
    assert math.isnan(share.value)
    assert share.interval(0.05) == (0.0, 1.0)


def test_a_share_reads_as_a_sentence() -> None:
    assert str(Share.of(np.array([True, False, True, True]))) == "0.75 (3 of 4)"


def test_all_looks_together_spend_alpha() -> None:
    spent = sum(alpha_of_look(0.05, look) for look in range(1, 100_000))
    assert spent == pytest.approx(0.05, rel=1e-4)
    assert spent < 0.05


def test_what_broke_within_less_is_within_reach_of_more() -> None:
    right = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool)
    assert carried(right).tolist() == [[True, True, False], [True, False, False], [False, False, False]]
