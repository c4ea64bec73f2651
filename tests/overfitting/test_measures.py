"""Numbers by hand, then scipy and torch as oracles, then properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from safeguards.core.intervals import alpha_of_look
from safeguards.core.limit import Limit, decide
from safeguards.core.verdict import Outcome
from safeguards.overfitting.measures import (
    classification_losses,
    gap_of_metrics,
    generalization_gap,
    welch_interval,
)

LN2 = math.log(2)
losses = st.lists(st.floats(0, 20, width=32), min_size=2, max_size=40)


def test_an_even_guess_costs_ln_c_and_certainty_nothing() -> None:
    even = classification_losses(torch.zeros(2, 4), torch.tensor([0, 3]))
    assert even.tolist() == pytest.approx([math.log(4)] * 2)
    certain = classification_losses(torch.tensor([[50.0, -50.0], [50.0, -50.0]]), torch.tensor([0, 1]))
    assert certain.tolist() == pytest.approx([0, 100])


def test_a_class_that_a_mask_rules_out_costs_nothing_unless_it_is_the_true_one() -> None:
    logits = torch.tensor([[0.0, -torch.inf, 0.0]]).expand(2, 3)
    assert classification_losses(logits, torch.tensor([0, 1])).tolist() == [pytest.approx(math.log(2)), math.inf]


def test_one_logit_is_binary_cross_entropy() -> None:
    found = classification_losses(torch.tensor([0.0, 0.0, 100.0, 100.0]), torch.tensor([0, 1, 1, 0]))
    assert found.tolist() == pytest.approx([LN2, LN2, 0, 100])


def test_two_logits_and_their_difference_as_one_logit_cost_the_same() -> None:
    logits_nc, target = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 2
    one = classification_losses(logits_nc[:, 1] - logits_nc[:, 0], target)
    torch.testing.assert_close(classification_losses(logits_nc, target), one)


def test_whole_classes_may_come_as_floats() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    whole = classification_losses(logits, torch.tensor([0, 2, 3]))
    assert torch.equal(classification_losses(logits, torch.tensor([0.0, 2.0, 3.0])), whole)


@pytest.mark.parametrize(
    ("logits", "target", "words"),
    [
        (torch.zeros(2, 3), [0, 3], "3, but 3 logits per row take the classes 0 to 2"),
        (torch.zeros(2, 3), [-100, 0], "-100, but"),
        (torch.zeros(2, 3), [0.5, 0], "fractions"),
        (torch.zeros(2, 3), [math.nan, 0], "nan, but"),
        (torch.zeros(2), [0, 2], "one logit per row takes the classes 0 and 1"),
        (torch.zeros(2), [0.3, 1.0], "fractions"),
        (torch.zeros(2, 3), [[0, 1, 0], [0, 0, 1]], "one target per row"),
        (torch.zeros(3, 3), [0, 1], "one target per row"),
    ],
)
def test_targets_that_do_not_fit_are_refused_with_the_remedy(logits: torch.Tensor, target: list, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        classification_losses(logits, torch.tensor(target))
    assert "loss=" in str(raised.value)


def test_the_interval_by_hand() -> None:
    """Means 1 and 4, variances 1 and 4 of 3 rows: spread 5/3, 2.941 degrees of freedom, t = 3.2190 at 97.5 %."""
    low, high = welch_interval([0, 1, 2], [2, 4, 6], 0.05)
    half = 3.2190 * math.sqrt(5 / 3)
    assert (low, high) == (pytest.approx(3 - half, abs=1e-3), pytest.approx(3 + half, abs=1e-3))


@given(first=losses, second=losses, alpha=st.sampled_from([0.1, 0.05, 0.001]))
def test_the_interval_is_scipys(first: list[float], second: list[float], alpha: float) -> None:
    if np.var(first) + np.var(second) < 1e-6:
        return
    theirs = stats.ttest_ind(second, first, equal_var=False).confidence_interval(1 - alpha)
    assert welch_interval(first, second, alpha) == pytest.approx((theirs.low, theirs.high), rel=1e-6, abs=1e-6)


def test_rows_that_all_cost_the_same_leave_no_doubt_and_one_row_leaves_all() -> None:
    assert welch_interval([1, 1, 1], [3, 3], 0.05) == (2, 2)
    assert welch_interval([1], [3, 4], 0.05) == (-math.inf, math.inf)


def test_the_gap_is_validation_minus_training_over_the_rows_of_both() -> None:
    found = generalization_gap([1.0, 2.0], [4.0, 5.0, 6.0], alpha=0.05, fewest_rows=2)
    assert (found.value, found.n, found.unit) == (3.5, 5, "nats")
    assert found.details["train_loss"] == 1.5
    assert found.details["validation_loss"] == 5
    assert found.details["train_rows"] == 2
    assert found.details["validation_rows"] == 3
    assert found.details["confidence"] == 0.95


@given(train=losses, validation=losses)
def test_swapping_the_sides_turns_the_sign_and_order_does_not_matter(train: list, validation: list) -> None:
    one = generalization_gap(train, validation, alpha=0.05)
    other = generalization_gap(validation[::-1], train[::-1], alpha=0.05)
    assert one.value == pytest.approx(-other.value)
    assert one.interval[0] <= one.value <= one.interval[1]
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))


def test_few_rows_carry_no_decision_even_when_the_value_is_within() -> None:
    few = generalization_gap([1.0] * 29, [1.0] * 30, alpha=0.05)
    assert decide(few, Limit(at_most=1)).outcome is Outcome.INCONCLUSIVE
    assert few.value == 0
    enough = generalization_gap([1.0] * 30, [1.0] * 30, alpha=0.05)
    assert decide(enough, Limit(at_most=1)).outcome is Outcome.PASS


@pytest.mark.parametrize(("train", "validation"), [([], [1.0]), ([1.0], []), ([], [])])
def test_no_rows_carry_no_decision(train: list, validation: list) -> None:
    found = generalization_gap(train, validation, alpha=0.05, fewest_rows=1)
    assert decide(found, Limit(at_most=100)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_loss_that_is_no_number_is_the_models_fault_even_with_few_rows(bad: float, side: str) -> None:
    rows = {"train": [1.0, 2.0], "validation": [1.0, 2.0]}
    rows[side] = [1.0, bad]
    decision = decide(generalization_gap(**rows, alpha=0.05), Limit(at_most=100))
    assert decision.outcome is Outcome.FAIL
    assert "1 of 4 rows" in decision.reason


def test_a_model_that_generalises_fails_in_at_most_alpha_of_the_fits() -> None:
    """400 fits of 20 looks, each a new draw of 60 and 60 rows with the same skewed loss, held against a gap of 0."""
    draw, failed = np.random.default_rng(0), 0
    for _ in range(400):
        looks = (
            generalization_gap(*draw.exponential(1.0, (2, 60)).tolist(), alpha=alpha_of_look(0.05, look))
            for look in range(1, 21)
        )
        failed += any(decide(found, Limit(at_most=0)).outcome is Outcome.FAIL for found in looks)
    assert failed <= 0.05 * 400


def test_logged_metrics_give_their_difference_and_no_interval() -> None:
    found = gap_of_metrics(0.5, 0.75, names=("train_loss", "val_loss"))
    assert (found.value, found.n, found.interval) == (0.25, 0, None)
    assert "val_loss minus train_loss as logged" in decide(found, Limit(at_most=1)).reason


def test_a_logged_metric_that_is_no_number_is_the_models_fault_and_named() -> None:
    decision = decide(gap_of_metrics(math.nan, 1.0, names=("train_loss", "val_loss")), Limit(at_most=1))
    assert decision.outcome is Outcome.FAIL
    assert "train_loss is nan" in decision.reason
