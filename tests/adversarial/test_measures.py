import math

import numpy as np
import pytest
from scipy.stats import binomtest

from safeguards.adversarial.measures import Share, carried


def test_the_interval_is_that_of_clopper_and_pearson_in_plain_numbers() -> None:
    expected = binomtest(3, 10).proportion_ci(0.95, method="exact")
    found = Share(hits=3, n=10).interval(0.05)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert [type(end) for end in found] == [float, float]


def test_no_rows_have_no_share_and_may_have_any() -> None:
    share = Share.of(np.zeros(0, dtype=bool))
    assert math.isnan(share.value)
    assert share.interval(0.05) == (0.0, 1.0)


def test_a_share_reads_as_a_sentence() -> None:
    assert str(Share.of(np.array([True, False, True, True]))) == "0.75 (3 of 4)"


def test_what_broke_within_less_is_within_reach_of_more() -> None:
    right = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool)
    assert carried(right).tolist() == [[True, True, False], [True, False, False], [False, False, False]]
