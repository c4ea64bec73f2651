from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.limit import Limit, decide
from safeguards.core.verdict import Outcome
from safeguards.retraining.measures import accuracy, calibration_error, largest_shift


def test_calibration_error_by_hand() -> None:
    """Two bins: of ten rows at 0.9 seven are right, of ten at 0.3 three are; (10 * 0.2 + 10 * 0) / 20."""
    confidence = np.array([0.9] * 10 + [0.3] * 10)
    right = np.array([True] * 7 + [False] * 3 + [True] * 3 + [False] * 7)
    assert calibration_error(confidence, right).value == pytest.approx(0.1)


def test_under_and_over_confidence_do_not_cancel_between_bins() -> None:
    confidence = np.array([0.9] * 10 + [0.6] * 10)
    right = np.array([True] * 6 + [False] * 4 + [True] * 9 + [False])
    assert calibration_error(confidence, right).value == pytest.approx(0.3)


def test_confidence_of_one_is_in_the_last_bin() -> None:
    found = calibration_error(np.ones(100), np.ones(100, dtype=bool))
    assert (found.value, found.interval[0]) == (0.0, 0.0)
    assert calibration_error(np.ones(100), np.zeros(100, dtype=bool)).value == 1.0


@pytest.mark.parametrize("off", [0.0, 0.2])
def test_the_interval_holds_the_true_error(off: float) -> None:
    """500 data sets of 400 rows of a model whose confidence is too high by ``off``, the true error."""
    draw, missed, naive = np.random.default_rng(0), 0, 0
    for _ in range(500):
        confidence = draw.uniform(0.5 + off, 1.0, 400)
        right = draw.uniform(size=400) < confidence - off
        low, high = calibration_error(confidence, right).interval
        missed += not low <= off <= high
        naive += calibration_error(confidence, right).value > 0.03
    assert missed <= 25
    assert naive > 450  # what chance alone shows of a perfectly calibrated model, too


def test_outputs_that_are_no_numbers_are_the_models_fault() -> None:
    found = calibration_error(np.array([math.nan] * 40), np.zeros(40, dtype=bool))
    assert decide(found, Limit(at_most=1.0)).outcome is Outcome.FAIL


@pytest.mark.parametrize("n", [0, 29])
def test_few_rows_decide_no_calibration(n: int) -> None:
    found = calibration_error(np.ones(n), np.ones(n, dtype=bool))
    assert decide(found, Limit(at_most=1.0)).outcome is Outcome.INCONCLUSIVE


def test_accuracy_is_exact() -> None:
    from scipy.stats import binomtest

    found = accuracy(np.array([True] * 45 + [False] * 5))
    wanted = binomtest(45, 50).proportion_ci(0.95, method="exact")
    assert (found.value, found.interval) == (0.9, pytest.approx((wanted.low, wanted.high)))
    assert decide(accuracy(np.zeros(0, dtype=bool)), Limit(at_least=0.0)).outcome is Outcome.INCONCLUSIVE


def test_shift_by_hand() -> None:
    found = largest_shift(np.array([60, 40, 0]), np.array([30, 40, 30]))
    assert found.value == pytest.approx(0.3)
    assert found.interval[0] > 0
    assert "0.600 then, 0.300 now" in found.note


def test_no_shift_is_not_told_from_little_by_few_rows() -> None:
    counts = np.array([50, 50])
    found = largest_shift(counts, counts)
    assert (found.value, found.interval[0]) == (0.0, 0.0)
    assert found.interval[1] > 0.1
    assert largest_shift(100 * counts, 100 * counts).interval[1] < 0.05
    assert decide(largest_shift(counts, 0 * counts), Limit(at_most=1.0)).outcome is Outcome.INCONCLUSIVE


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.randoms())
def test_the_order_of_rows_says_nothing(rows: list[tuple[float, bool]], draw: object) -> None:
    def of(given: list[tuple[float, bool]]) -> float:
        return calibration_error(np.array([c for c, _ in given]), np.array([r for _, r in given])).value

    mixed = [*rows]
    draw.shuffle(mixed)  # type: ignore[attr-defined]
    assert of(mixed) == pytest.approx(of(rows))
    assert 0 <= of(rows) <= 1
