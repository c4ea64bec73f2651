"""What a verdict carries: the worst place, the table per group, who was not judged, and a second opinion."""

import json

import numpy as np
import pytest

from safeguards.core.limit import Limit, decide
from safeguards.core.verdict import Outcome, plain
from safeguards.fairness.comparing import Rules, compare
from safeguards.fairness.measures import MEASURES, RATES, Rate
from safeguards.fairness.opinion import disagreement
from tests.fairness.judged import answered, check, logits_for, measured, rows, scene


def random_rows(n=600, classes=2, seed=1):
    random = np.random.default_rng(seed)
    groups = {"sex": random.choice(["F", "M"], n).tolist(), "age": random.choice([30, 50, 70], n).tolist()}
    return groups, random.integers(0, classes, n), logits_for(random.integers(0, classes, n), classes)


def test_the_value_is_the_worst_of_attributes_and_intersection():
    groups, target, logits = random_rows()
    _, found = measured(groups, target, logits)
    for name, each in found.items():
        by_grouping = each.details["by_grouping"]
        assert list(by_grouping) == ["sex", "age", "sex & age"]
        worst = max if name.endswith("difference") else min
        assert each.value == worst(by_grouping.values())
        assert each.interval[0] <= each.value <= each.interval[1]
        assert each.n == 600


def test_the_table_per_group_is_that_of_the_rows():
    groups, target, logits = random_rows()
    _, found = measured(groups, target, logits)
    table = {(row["grouping"], row["group"]): row for row in found["equalized_odds_difference"].details["groups"]}
    assert len(table) == 2 + 3 + 6
    guess = logits.argmax(dim=1).numpy()
    mine = (np.array(groups["sex"]) == "F") & (np.array(groups["age"]) == 50)
    row = table["sex & age", "sex=F & age=50"]
    assert row["n"] == mine.sum()
    assert row["selection_rate"] == guess[mine].mean()
    assert row["true_positive_rate"] == guess[mine & (target == 1)].mean()
    assert row["false_positive_rate"] == guess[mine & (target == 0)].mean()
    assert row["accuracy"] == (guess == target)[mine].mean()
    assert (row["positives"], row["selected"]) == (target[mine].sum(), guess[mine].sum())


def test_the_reason_names_the_worst_place_with_its_rows():
    groups = {"sex": ["F"] * 100 + ["M"] * 100}
    target, guess = [1] * 200, [1] * 30 + [0] * 70 + [1] * 90 + [0] * 10
    reason = answered(groups, target, logits_for(guess))["equal_opportunity_difference"].reason
    assert "worst: true_positive_rate 0.300 in sex=F (100 rows) against 0.900 in sex=M (100 rows)" in reason


def test_details_say_what_was_compared_and_are_plain():
    groups, target, logits = random_rows()
    _, found = measured(groups, target, logits, look=2)
    details = found["demographic_parity_difference"].details
    assert details["look"] == 2
    assert details["rates_compared"] == 4 * 11
    assert details["confidence"] == 1 - 0.05 * 6 / (4 * np.pi**2)
    assert json.loads(json.dumps(plain(details)))["meaning"] == MEASURES["demographic_parity_difference"].meaning


def test_order_of_rows_and_groups_changes_nothing():
    groups, target, logits = random_rows()
    order = np.random.default_rng(0).permutation(600)
    shuffled = {name: [values[i] for i in order] for name, values in groups.items()}
    assert measured(groups, target, logits)[1] == measured(shuffled, target[order], logits[order])[1]


def test_one_logit_is_class_1_above_zero():
    groups, target, logits = random_rows()
    single = logits[:, 1] - logits[:, 0]
    assert measured(groups, target, single)[1] == measured(groups, target, logits)[1]


def test_missing_labels_are_a_group_of_their_own():
    groups, target, logits = random_rows()
    groups["sex"] = [None if i % 5 == 0 else label for i, label in enumerate(groups["sex"])]
    _, found = measured(groups, target, logits)
    assert "sex=(missing)" in {row["group"] for row in found["worst_group_accuracy"].details["groups"]}


def test_several_batches_are_one_table():
    groups, target, logits = random_rows()
    guard = check(groups)
    seen = guard.prepare(scene())
    for part in (slice(0, 7), slice(7, 7), slice(7, 600)):
        some = {name: values[part] for name, values in groups.items()}
        guard.observe(seen, rows(some, target[part], logits[part]), scene())
    assert guard.examine(seen, scene()) == measured(groups, target, logits)[1]


def test_no_rows_are_inconclusive():
    guard = check(["sex"])
    for found in guard.examine(guard.prepare(scene()), scene()).values():
        assert decide(found, Limit(at_most=1)).outcome is Outcome.INCONCLUSIVE


def test_a_class_that_nobody_is_predicted_holds_a_ratio_back():
    group, target = ["A", "B"] * 3000, [0, 0, 1, 1, 2, 2] * 1000
    guess = [min(t, 1) for t in target]
    limits = {"demographic_parity_ratio": Limit(at_least=0.8)}
    decision = answered({"sex": group}, target, logits_for(guess, 3), limits=limits)["demographic_parity_ratio"]
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert "0 in every group for class 2" in decision.reason


@pytest.mark.parametrize("support", [1, 30, 200])
def test_support_counts_the_rows_behind_each_rate(support):
    groups, target, logits = random_rows()
    _, found = measured(groups, target, logits, min_support=support, intersections=False)
    small = {(each["group"], each["rate"]) for each in found["equalized_odds_difference"].details["not_judged"]}
    rates = found["equalized_odds_difference"].details["groups"]
    expected = {(row["group"], "true_positive_rate") for row in rates if row["positives"] < support}
    expected |= {(row["group"], "false_positive_rate") for row in rates if row["n"] - row["positives"] < support}
    assert small == expected


@pytest.mark.parametrize("classes", [2, 4])
def test_fairlearn_agrees_at_the_end(classes):
    groups, target, logits = random_rows(classes=classes)
    guard, _ = measured(groups, target, logits, min_support=20)
    assert guard.double_check() == {}


def test_the_second_opinion_makes_none_of_fairlearns_frames(monkeypatch):
    """They took as long as a tenth of an epoch on Adult's rows."""
    groups, target, logits = random_rows()
    guard, _ = measured(groups, target, logits)
    monkeypatch.setattr("fairlearn.metrics.MetricFrame.__init__", forbidden)
    assert guard.double_check() == {}


def forbidden(*_, **__):
    raise AssertionError("a frame was made")


def test_fairlearn_agrees_where_nothing_can_be_compared():
    groups, target, logits = random_rows(n=12)
    guard, _ = measured(groups, target, logits, min_support=50)
    assert guard.double_check() == {}


def test_a_number_that_fairlearn_does_not_share_is_named():
    groups, target, logits = random_rows()
    guard, found = measured(groups, target, logits)
    ((compared, values),) = guard._last.values()
    wrong = np.nextafter(found["worst_group_accuracy"].value, 1.0)
    assert "fairlearn computes" in disagreement("worst_group_accuracy", compared, float(wrong))
    values["worst_group_accuracy"] = float(wrong)
    assert list(guard.double_check()) == ["worst_group_accuracy"]


def test_a_broken_rate_is_found_by_the_second_opinion(monkeypatch):
    groups, target, logits = random_rows()
    monkeypatch.setitem(RATES, "true_positive_rate", lambda counts: Rate(counts[:, 2], counts[:, 0] + 1))
    guard, _ = measured(groups, target, logits)
    assert list(guard.double_check()) == ["equalized_odds_difference", "equal_opportunity_difference"]


def test_only_the_rates_that_limits_need_are_compared():
    groups, target, logits = random_rows()
    only = {"equal_opportunity_difference": Limit(at_most=0.1)}
    _, found = measured(groups, target, logits, limits=only)
    assert found["equal_opportunity_difference"].details["rates_compared"] == 11
    assert compare([], ["equal_opportunity_difference"], Rules(), 1).parts == {"true_positive_rate": []}
