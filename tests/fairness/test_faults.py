"""Inputs for which the plain libraries give a wrong answer without a word, one test each, by number."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from safeguards import verdicts
from safeguards.core.batch import BatchFields
from safeguards.core.errors import FieldError, NotApplicable
from safeguards.core.limit import Limit
from safeguards.core.verdict import Outcome, Verdict
from safeguards.fairness import FairnessCheck
from safeguards.fairness.measures import MEASURES
from safeguards.fairness.table import table_of
from tests.fairness.judged import LIMITS, answered, logits_for
from tests.helpers.toys import Net, trainer

DIFFERENCES = {name: limit for name, limit in LIMITS.items() if name.endswith("difference")}
PARITY = {name: limit for name, limit in LIMITS.items() if name != "worst_group_accuracy"}


def fair(n=8000, groups=("A", "B"), seed=3):
    """Rows of equal groups and a model that is right nine times in ten, whatever the group."""
    random = np.random.default_rng(seed)
    target = random.integers(0, 2, n)
    guess = np.where(random.random(n) < 0.9, target, 1 - target)
    return [groups[i % len(groups)] for i in range(n)], target, logits_for(guess)


def assert_all(decisions, outcome, *words):
    for name, decision in decisions.items():
        assert decision.outcome is outcome, (name, decision)
        for word in words:
            assert word in decision.reason, (name, decision)


def test_sound_rows_pass():
    """Without this every fault below could be 'caught' by a guard that refuses everything."""
    group, target, logits = fair()
    assert_all(answered({"sex": group}, target, logits), Outcome.PASS)


def test_f1_all_logits_nan():
    group, target, logits = fair(200)
    found = answered({"sex": group}, target, torch.full_like(logits, torch.nan))
    assert_all(found, Outcome.FAIL, "the model is at fault", "200 of 200 rows")


@pytest.mark.parametrize("bad", [[0.0, torch.nan], [0.0, torch.inf], [-torch.inf, torch.nan], [-torch.inf, -torch.inf]])
def test_f2_some_outputs_not_finite(bad):
    group, target, logits = fair(200)
    logits[7] = torch.tensor(bad)
    assert_all(answered({"sex": group}, target, logits), Outcome.FAIL, "1 of 200 rows", "NaN or infinite")


def test_f2_labels_nan():
    group, target, logits = fair(200)
    target = torch.as_tensor(target).float()
    target[3] = torch.nan
    assert_all(answered({"sex": group}, target, logits), Outcome.ERROR, "1 of 200 rows have no label")


def test_f3_labels_of_two_columns():
    group, target, logits = fair(200)
    target = torch.as_tensor(target)
    assert_all(
        answered({"sex": group}, torch.stack([target, target], 1), logits),
        Outcome.ERROR,
        "the target has shape (200, 2), expected one class per row; give target= a function of the batch",
    )


def test_f3_labels_0_and_2():
    group, target, logits = fair(200)
    assert_all(answered({"sex": group}, target * 2, logits), Outcome.ERROR, "label 2", "0 to 1", "target=")


def test_f3_labels_minus_1_and_1():
    group, target, logits = fair(200)
    assert_all(answered({"sex": group}, target * 2 - 1, logits[:, 1]), Outcome.ERROR, "label -1", "target=")


def test_f3_probabilities_as_labels():
    group, _, logits = fair(200)
    assert_all(answered({"sex": group}, torch.rand(200), logits), Outcome.ERROR, "none of the model's classes")


def test_f3_three_classes_are_compared_one_by_one():
    """fairlearn's parity difference of this is 0.0: nobody is predicted 1, and class 2 is not looked at."""
    group = ["A", "B"] * 200
    guess = [0 if name == "A" else 2 for name in group]
    found = answered({"sex": group}, guess, logits_for(guess, 3), limits=PARITY)
    assert found["demographic_parity_difference"].outcome is Outcome.FAIL
    assert "class 0" in found["demographic_parity_difference"].reason


def test_f3_positive_class_that_the_model_does_not_have():
    group, target, logits = fair(200)
    assert_all(
        answered({"sex": group}, target, logits, positive=2),
        Outcome.ERROR,
        "positive=2",
        "0 to 1 apart; name one of them",
    )


def test_f3_the_positive_class_is_the_one_asked_for():
    """Everyone of class 0 is found in A and half of them in B; class 1 is always found."""
    group, target = ["A", "B"] * 400, [0, 0, 1, 1] * 200
    guess = [t if g == "A" or t or i % 8 == 1 else 1 for i, (g, t) in enumerate(zip(group, target, strict=True))]
    limits = {"equal_opportunity_difference": Limit(at_most=0.1)}
    assert_all(answered({"sex": group}, target, logits_for(guess), limits=limits, positive=1), Outcome.PASS)
    assert_all(answered({"sex": group}, target, logits_for(guess), limits=limits, positive=0), Outcome.FAIL)


def test_f4_one_group():
    _, target, logits = fair()
    assert_all(answered({"sex": ["A"] * 8000}, target, logits), Outcome.INCONCLUSIVE, "the one group sex=A")


def test_f4_one_group_of_two_attributes():
    group, target, logits = fair()
    found = answered({"age": group, "sex": ["A"] * 8000}, target, logits, intersections=False)
    assert_all(found, Outcome.INCONCLUSIVE, "on sex, which has the one group sex=A")
    on_point = answered({"age": group, "sex": ["A"] * 8000}, target, logits, decide_on="point")
    assert_all(on_point, Outcome.INCONCLUSIVE, "on sex, which has the one group sex=A")


def test_f5_a_group_without_positives():
    """A perfect model; fairlearn's equalized odds difference is 1.0."""
    group = ["A"] * 3000 + ["B"] * 1000
    target = [0, 1, 1] * 1000 + [0] * 1000
    found = answered({"sex": group}, target, logits_for(target), limits=DIFFERENCES)
    for name in ("equalized_odds_difference", "equal_opportunity_difference"):
        assert found[name].outcome is Outcome.INCONCLUSIVE
        assert "not compared: true_positive_rate on sex" in found[name].reason
        assert "sex=B (0)" in found[name].reason


def test_f5_labels_of_one_class():
    group, target, logits = fair()
    found = answered({"sex": group}, target * 0, logits)
    for name in ("equalized_odds_difference", "equal_opportunity_difference"):
        assert found[name].outcome is Outcome.INCONCLUSIVE


def test_f6_a_group_of_one_row():
    group, target, logits = fair()
    group[0] = "C"
    assert_all(answered({"sex": group}, target, logits), Outcome.INCONCLUSIVE, "not judged", "sex=C")
    assert_all(answered({"sex": group}, target, logits, ignore_small=True), Outcome.PASS, "sex=C")


def test_f6_a_small_group_does_not_hide_a_violation():
    group, target, _ = fair()
    guess = [t if g == "A" else 0 for g, t in zip(group, target, strict=True)]
    group[0] = "C"
    found = answered({"sex": group}, target, logits_for(guess), limits=DIFFERENCES)
    assert_all(found, Outcome.FAIL, "sex=C")


def test_f6_continuous_age_of_8_rows():
    target = [0, 1] * 4
    found = answered({"age": [31.5, 40.2, 28.0, 55.1, 61.9, 33.3, 47.0, 20.4]}, target, logits_for(target))
    assert_all(found, Outcome.INCONCLUSIVE, "0 of 8 groups have the 10 rows")


def test_f7_ten_thousand_categories():
    group, target, logits = fair(20_000, groups=tuple(f"c{i}" for i in range(10_000)))
    assert_all(answered({"zip": group}, target, logits), Outcome.INCONCLUSIVE, "zip has more than 50 groups")


def test_f8_no_measure_leaves_out_an_undefined_group():
    """An area under the curve per group is not offered; a group of one class has no rate, and that is said."""
    assert "roc_auc" not in MEASURES
    group = ["A", "B"] * 2000 + ["C"] * 1000
    target = [0, 1, 1, 0] * 1000 + [0] * 1000
    found = answered({"sex": group}, target, logits_for(target), limits=DIFFERENCES)
    assert found["equal_opportunity_difference"].outcome is Outcome.INCONCLUSIVE
    assert "sex=C (0)" in found["equal_opportunity_difference"].reason


def test_f9_an_empty_cell_of_two_attributes():
    _, target, logits = fair()
    sex = [("F", "M")[i // 2 % 2] for i in range(8000)]
    age = ["old" if s == "M" and i % 4 > 2 else "young" for i, s in enumerate(sex)]
    found = answered({"sex": sex, "age": age}, target, logits)
    assert_all(found, Outcome.INCONCLUSIVE, "sex=F & age=old (0)")
    assert_all(answered({"sex": sex, "age": age}, target, logits, intersections=False), Outcome.PASS)


def test_f9_a_violation_in_an_intersection_only():
    """Each attribute alone is exactly fair."""
    sex, age = ["F", "M"] * 800, ["old", "old", "young", "young"] * 400
    guess = [int((s == "F") == (a == "old")) for s, a in zip(sex, age, strict=True)]
    limits = {"demographic_parity_difference": Limit(at_most=0.1)}
    target = [0, 1, 1, 0, 1, 0, 0, 1] * 200
    assert_all(
        answered({"sex": sex, "age": age}, target, logits_for(guess), limits=limits), Outcome.FAIL, "sex=F & age="
    )
    alone = answered({"sex": sex, "age": age}, target, logits_for(guess), limits=limits, intersections=False)
    assert alone["demographic_parity_difference"].outcome is not Outcome.FAIL


@pytest.mark.parametrize("dirty", [["A", " A", "B"], ["A", "a", "B"], [1, "1", 2], ["\uff21", "A", "B"]])
def test_f10_dirty_keys(dirty):
    group, target, logits = fair(9000, groups=tuple(dirty))
    found = answered({"sex": group}, target, logits)
    assert_all(found, Outcome.INCONCLUSIVE, "look like one group", repr(str(dirty[0])), repr(str(dirty[1])))


def by_patient(n: int = 400):
    """Rows whose ids are not in order, a model that selects men only, and the sex of each patient in order of id."""
    draw = np.random.default_rng(0)
    ids, sex = draw.permutation(n), pd.Series(draw.choice(["f", "m"], n), index=range(n))
    x = torch.tensor([[1.0 if sex[i] == "m" else -1.0] for i in ids])
    return TensorDataset(x, (x[:, 0] > 0).long(), torch.as_tensor(ids)), sex


class SelectsPositive(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x, x], 1)

    def validation_step(self, batch: Any, _: int) -> dict[str, torch.Tensor]:
        return {"logits": self(batch[0])}


def parity_gap(root: Path, column: Any, data: DataLoader[Any]) -> Verdict:
    fields = BatchFields(inputs=0, target=1, row_id=2, groups={"sex": column})
    limits = {"demographic_parity_difference": Limit(at_most=0.3)}
    job = trainer(root, FairnessCheck(fields=fields, limits=limits))
    job.validate(SelectsPositive(), data, verbose=False)
    return verdicts(job)[-1]


@pytest.mark.parametrize("order", ["by id", "of the set", "mixed", "a mapping"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_f11_labels_with_row_ids_meet_their_rows_in_any_order(tmp_path, order, shuffled):
    data, sex = by_patient()
    named = sex.rename_axis("patient")
    mixed = named.sample(frac=1.0, random_state=1)
    ways = {"by id": named, "of the set": named[data.tensors[2].numpy()], "mixed": mixed, "a mapping": sex.to_dict()}
    found = parity_gap(tmp_path, ways[order], DataLoader(data, 50, shuffle=shuffled))
    assert (found.outcome, found.value, found.n) == (Outcome.FAIL, 1.0, 400)


def test_f11_an_index_that_may_count_the_rows_or_hold_their_ids_is_refused(tmp_path):
    data, sex = by_patient()
    found = parity_gap(tmp_path, sex, DataLoader(data, 50))
    assert found.outcome is Outcome.ERROR
    assert "may be row ids or count the rows: give .rename_axis('row_id')" in found.reason


def test_f11_labels_of_which_nothing_says_whose_they_are_are_refused():
    column = pd.Series(["A", "B", "A"], index=[0, 2, 3])
    for groups in ({"sex": column}, {"sex": {"validate": column.reset_index(drop=True), "test": column}}):
        with pytest.raises(FieldError, match=r"index of its own, not 0 to 2.*give row_id= .*to_numpy"):
            BatchFields(inputs=0, target=1, groups=groups)


@pytest.mark.parametrize("counts", [[[[4, 4], [4, 4], [-1, 4]]], [[[4, 4], [4, 4], [5, 4]]]])
def test_f12_rows_have_no_weights_and_impossible_counts_are_refused(counts):
    with pytest.raises(NotApplicable, match="not those of any rows"):
        table_of(("sex",), [(("text", "A"),)], np.array(counts))


@pytest.mark.parametrize("only", [0, 1])
def test_f13_all_predictions_in_one_class(only):
    group, target, _ = fair()
    found = answered({"sex": group}, target, logits_for([only] * 8000), limits=PARITY)
    assert_all(found, Outcome.INCONCLUSIVE, f"every row class {only}")


def test_f13_accuracy_of_a_constant_model_is_still_a_number():
    group, target, _ = fair()
    limits = {"worst_group_accuracy": Limit(at_least=0.7)}
    assert_all(answered({"sex": group}, target, logits_for([0] * 8000), limits=limits), Outcome.FAIL)
