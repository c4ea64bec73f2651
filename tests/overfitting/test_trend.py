"""Slope, patience and what they remember."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.overfitting.trend import Patience, Trend, plain_memory, remember, slope_per_look


def test_the_slope_by_hand() -> None:
    assert slope_per_look([1.0, 3.0, 5.0]) == 2
    assert slope_per_look([4.0, 4.0, 4.0]) == 0
    assert slope_per_look([3.0, 2.0]) == -1
    assert slope_per_look([1.0]) is None


@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=30))
def test_the_slope_is_numpys(values: list[float]) -> None:
    assert slope_per_look(values) == pytest.approx(np.polyfit(range(len(values)), values, 1)[0], abs=1e-6)


def test_a_trend_keeps_the_last_gaps_of_each_loader() -> None:
    trend = Trend(window=3)
    for gap in (9.0, 1.0, 2.0, 3.0):
        trend.add("a", gap)
    trend.add("b", 7.0)
    assert trend.details("a") == {"slope_per_look": 1.0, "looks_in_slope": 3}
    assert trend.details("b") == {"slope_per_look": None, "looks_in_slope": 1}


def test_patience_counts_failing_looks_in_a_row() -> None:
    patience = Patience(looks=2)
    story = []
    for failed in (True, False, True, True, True):
        patience.count(failed)
        story.append(patience.exhausted)
    assert story == [False, False, False, True, True]


def test_memory_is_plain_and_brings_everything_back() -> None:
    trend, patience = Trend(window=3), Patience(looks=2)
    trend.add("a", 1.5)
    patience.count(True)
    memory = json.loads(json.dumps(plain_memory(trend, patience)))
    other_trend, other_patience = Trend(window=3), Patience(looks=2)
    remember(other_trend, other_patience, memory)
    assert (other_trend, other_patience) == (trend, patience)
