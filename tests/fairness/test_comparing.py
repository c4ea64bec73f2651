"""Bounds on a measure: exact numbers, and how often they are wrong over a whole fit."""

import numpy as np
import pytest

from safeguards.core.intervals import alpha_of_look, clopper_pearson
from safeguards.core.limit import Limit, decide
from safeguards.core.verdict import Outcome
from safeguards.fairness.comparing import Rules, compare
from safeguards.fairness.judging import judge
from safeguards.fairness.measures import Difference, Ratio, Smallest
from safeguards.fairness.table import GroupTable


def test_bounds_of_two_groups_by_hand():
    low, high = np.array([[0.2], [0.5]]), np.array([[0.4], [0.9]])
    assert [float(end[0]) for end in Difference.bounds(low, high)] == pytest.approx([0.1, 0.7])
    assert [float(end[0]) for end in Ratio.bounds(low, high)] == pytest.approx([0.2 / 0.9, 0.4 / 0.5])
    assert [float(end[0]) for end in Smallest.bounds(low, high)] == pytest.approx([0.2, 0.4])


def test_overlapping_groups_may_be_alike():
    low, high = np.array([[0.2], [0.3]]), np.array([[0.6], [0.7]])
    assert [float(end[0]) for end in Difference.bounds(low, high)] == pytest.approx([0.0, 0.5])
    assert [float(end[0]) for end in Ratio.bounds(low, high)] == pytest.approx([0.2 / 0.7, 1.0])


def test_a_wide_group_is_not_compared_with_itself():
    low, high = np.array([[0.0], [0.4]]), np.array([[1.0], [0.5]])
    assert float(Difference.bounds(low, high)[1][0]) == pytest.approx(0.6)


def confusion_table(hits, rows, name="sex"):
    """Every row is positive, ``hits`` of ``rows`` are selected: selection and true positive rate are hits / rows."""
    hits, rows = np.asarray(hits), np.asarray(rows)
    none = np.zeros_like(rows)
    true, guess, both = np.stack([none, rows], 1), np.stack([rows - hits, hits], 1), np.stack([none, hits], 1)
    groups = tuple(f"g{place}" for place in range(len(rows)))
    return GroupTable(attributes=(name,), groups=groups, counts_g3c=np.stack([true, guess, both], 1).astype(np.int64))


def test_alpha_is_shared_by_every_rate_that_the_verdicts_look_at():
    tables = [confusion_table([5, 50], [50, 100]), confusion_table([15, 20, 20], [40, 50, 60], "age")]
    both = ["demographic_parity_difference", "worst_group_accuracy"]
    compared = compare(tables, both, Rules(alpha=0.1), look=3)
    assert compared.rates == 2 * (2 + 3)
    assert compared.alpha == alpha_of_look(0.1, 3)
    low, high = clopper_pearson([5, 50], [50, 100], alpha_of_look(0.1, 3) / 10)
    part = compared.parts["selection_rate"][0]
    assert (part.low_gc[:, 0].tolist(), part.high_gc[:, 0].tolist()) == (low.tolist(), high.tolist())
    assert compare(tables, both[:1], Rules(), look=1).rates == 5


FITS, LOOKS, GROUPS, ROWS, ALPHA = 4000, 20, 6, 150, 0.05


def share_of_fits_with_a_false_fail(alpha_at):
    """Fair models, independent data at each look: how many fits see a difference bounded away from 0 at any look.

    The axis of classes holds the fits, so that one call judges all of them.
    """
    random = np.random.default_rng(11)
    failed = np.zeros(FITS, dtype=bool)
    rows = np.full((GROUPS, FITS), ROWS)
    for look in range(1, LOOKS + 1):
        low, high = clopper_pearson(random.binomial(ROWS, 0.4, size=rows.shape), rows, alpha_at(look))
        failed |= Difference.bounds(low, high)[0] > 0
    return failed.mean()


def test_fair_models_fail_at_most_alpha_over_a_whole_fit():
    assert share_of_fits_with_a_false_fail(lambda look: alpha_of_look(ALPHA, look) / GROUPS) <= ALPHA


def test_the_simulation_would_see_bounds_that_ignore_looks_and_groups():
    assert share_of_fits_with_a_false_fail(lambda _: ALPHA) > ALPHA


def test_bounds_hold_for_an_unfair_model_too():
    random = np.random.default_rng(5)
    truth = np.array([[0.3], [0.35], [0.5], [0.62]])
    rows = np.broadcast_to(np.array([[40], [300], [90], [200]]), (4, FITS))
    low, high = clopper_pearson(random.binomial(rows, truth), rows, ALPHA / 4)
    for kind, exact in ((Difference, 0.32), (Ratio, 0.3 / 0.62), (Smallest, 0.3)):
        below, above = kind.bounds(low, high)
        assert ((below <= exact) & (exact <= above)).mean() >= 1 - ALPHA


@pytest.mark.parametrize("look", [1, 20])
def test_a_planted_disparity_is_found_at_any_look(look):
    compared = compare([confusion_table([400, 650], [1000, 1000])], ["equal_opportunity_difference"], Rules(), look)
    found = judge("equal_opportunity_difference", compared)
    assert decide(found, Limit(at_most=0.1)).outcome is Outcome.FAIL
    assert found.value == 0.25


def test_too_few_rows_are_inconclusive_and_enough_are_a_pass():
    def outcome(rows):
        compared = compare(
            [confusion_table([rows // 2] * 2, [rows] * 2)], ["demographic_parity_difference"], Rules(), 1
        )
        return decide(judge("demographic_parity_difference", compared), Limit(at_most=0.1)).outcome

    assert outcome(50) is Outcome.INCONCLUSIVE
    assert outcome(5000) is Outcome.PASS
