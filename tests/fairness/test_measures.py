"""The measures: numbers by hand, then fairlearn to the last bit, then what must not change them."""

import math
import warnings

import numpy as np
import pytest
from fairlearn import metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score

from safeguards.fairness.measures import MEASURES, RATES, accuracy, selection_rate, true_positive_rate
from safeguards.fairness.opinion import cells_of, fairlearn_value


def table(*confusions):
    """A (G, 3, C) table from one (true, predicted) confusion matrix per group."""
    return np.stack([_margins(np.asarray(confusion)) for confusion in confusions])


def _margins(confusion):
    return np.stack([confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)])


# Rows are the true class, columns the predicted one.
WOMEN = [[30, 10], [20, 40]]
MEN = [[45, 5], [5, 45]]


def positive(name, counts):
    """A measure of two classes with class 1 as the positive one."""
    definition = MEASURES[name]
    rates = [RATES[rate](counts).value for rate in definition.rates]
    last = [rate[:, -1:] for rate in rates]
    return float(definition.compare.worst(np.concatenate([definition.compare.value(rate) for rate in last])))


def test_by_hand():
    both = table(WOMEN, MEN)
    assert selection_rate(both).value[:, 1].tolist() == [0.5, 0.5]
    assert true_positive_rate(both).value[:, 1].tolist() == [40 / 60, 0.9]
    assert accuracy(both).value[:, 0].tolist() == [0.7, 0.9]
    assert positive("demographic_parity_difference", both) == 0.0
    assert positive("demographic_parity_ratio", both) == 1.0
    assert positive("equal_opportunity_difference", both) == 0.9 - 40 / 60
    assert positive("equalized_odds_difference", both) == max(0.9 - 40 / 60, 10 / 40 - 0.1)
    assert positive("worst_group_accuracy", both) == 0.7


def test_ends_of_the_scale_mean_what_the_card_says():
    alike, apart = table(MEN, MEN), table([[50, 0], [50, 0]], [[0, 50], [0, 50]])
    for name in ("demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference"):
        assert MEASURES[name](alike) == 0.0
        assert MEASURES[name](apart) == 1.0
    assert MEASURES["demographic_parity_ratio"](alike) == 1.0
    assert MEASURES["demographic_parity_ratio"](apart) == 0.0
    assert MEASURES["worst_group_accuracy"](table([[9, 0], [0, 9]], [[9, 0], [0, 9]])) == 1.0


def test_false_positives_alone_make_odds_unequal():
    both = table([[40, 10], [0, 50]], [[10, 40], [0, 50]])
    assert positive("equalized_odds_difference", both) == pytest.approx(0.6)
    assert positive("equal_opportunity_difference", both) == 0.0


def test_three_classes_give_the_worst_class():
    first = [[8, 1, 1], [0, 10, 0], [0, 0, 10]]
    second = [[8, 1, 1], [0, 10, 0], [5, 0, 5]]
    assert MEASURES["equal_opportunity_difference"](table(first, second)) == 0.5
    assert MEASURES["demographic_parity_difference"](table(first, second)) == pytest.approx(5 / 30)


@pytest.mark.parametrize("name", MEASURES)
def test_one_group_or_an_undefined_rate_is_no_number(name):
    no_rows = [[0, 0], [0, 0]]
    assert math.isnan(MEASURES[name](table(MEN)))
    assert math.isnan(MEASURES[name](table(MEN, no_rows)))


def test_a_group_without_positives_has_no_true_positive_rate():
    assert math.isnan(MEASURES["equal_opportunity_difference"](table(MEN, [[40, 10], [0, 0]])))


def confusions(classes, smallest):
    cells = st.integers(min_value=smallest, max_value=10**6)
    return st.integers(2, 5).flatmap(lambda groups: arrays.arrays(np.int64, (groups, classes, classes), elements=cells))


def worst_group_accuracy(*, sample_weight, **cells):
    frame = metrics.MetricFrame(metrics=accuracy_score, sample_params={"sample_weight": sample_weight}, **cells)
    return frame.group_min()


def theirs(name, counts, column):
    """By fairlearn's own aggregates, of which the second opinion says the same from its rates."""
    cells = cells_of(counts, range(len(counts)), column)
    found = (worst_group_accuracy if name == "worst_group_accuracy" else getattr(metrics, name))(**cells)
    every = [fairlearn_value(name, rate, cells) for rate in MEASURES[name].rates]
    assert found == (max(every) if "difference" in name else min(every))
    return found


@pytest.mark.parametrize("name", MEASURES)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(confusion=confusions(2, 1))
def test_equals_fairlearn_to_the_last_bit(name, confusion):
    counts = table(*confusion)
    column = None if name == "worst_group_accuracy" else 1
    assert positive(name, counts) - theirs(name, counts, column) == 0.0


@settings(max_examples=8, deadline=None, derandomize=True)
@given(confusion=confusions(3, 1))
def test_three_classes_equal_fairlearn_one_against_the_rest(confusion):
    counts = table(*confusion)
    for name in ("equalized_odds_difference", "demographic_parity_ratio"):
        each = [theirs(name, counts, column) for column in range(3)]
        assert MEASURES[name](counts) - (max(each) if "difference" in name else min(each)) == 0.0


def test_equals_fairlearn_on_the_rows_themselves():
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score

    random = np.random.default_rng(7)
    group, true, guess = random.integers(0, 4, 4000), random.integers(0, 2, 4000), random.integers(0, 2, 4000)
    counts = table(*(np.histogram2d(true[group == g], guess[group == g], bins=2)[0].astype(int) for g in range(4)))
    for name in ("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference"):
        assert positive(name, counts) == getattr(metrics, name)(true, guess, sensitive_features=group)
    frame = metrics.MetricFrame(metrics=accuracy_score, y_true=true, y_pred=guess, sensitive_features=group)
    assert positive("worst_group_accuracy", counts) == frame.group_min()


@pytest.mark.parametrize("name", MEASURES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(confusion=confusions(3, 1), seed=st.integers(0, 2**32 - 1))
def test_names_of_groups_and_classes_do_not_matter(name, confusion, seed):
    random = np.random.default_rng(seed)
    groups, classes = random.permutation(len(confusion)), random.permutation(3)
    shuffled = confusion[groups][:, classes][:, :, classes]
    assert MEASURES[name](table(*shuffled)) == MEASURES[name](table(*confusion))


@pytest.mark.parametrize("name", MEASURES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(confusion=confusions(2, 0))
def test_every_number_is_on_its_scale_and_nothing_warns(name, confusion):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = MEASURES[name](table(*confusion))
    assert math.isnan(value) or 0 <= value <= 1
