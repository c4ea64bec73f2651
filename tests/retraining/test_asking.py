from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from safeguards import BatchFields, ConfigurationError, NotApplicable, ThreatModel
from safeguards.core.errors import DataRefused, FieldError
from safeguards.retraining import Attack, answers, same_rows

FIELDS = BatchFields(inputs="x", target="y", row_id="id", groups={"side": "side"})


class Line(nn.Module):
    """Class 1 right of ``at``: the logits are (0, x - at)."""

    def __init__(self, at: float = 0.0) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(at))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        right = self.drop(x[:, 0] - self.at)
        return torch.stack([torch.zeros_like(right), right], dim=1)


def batches(size: int = 3, labelled: bool = True) -> list[dict[str, Any]]:
    """Six rows at -3, -2, -1, 1, 2, 3, of class 1 where positive, but for the last, which is labelled 0."""
    x = torch.tensor([-3.0, -2, -1, 1, 2, 3]).unsqueeze(1)
    y = torch.tensor([0, 0, 0, 1, 1, 0])
    whole = {"x": x, "y": y, "id": torch.arange(10, 16), "side": ["left"] * 3 + ["right"] * 3}
    return [{name: part[at : at + size] for name, part in whole.items()} for at in range(0, 6, size)]


def test_every_row_is_answered_once_in_order() -> None:
    found = answers(Line(), batches(), FIELDS)
    assert found.ids.tolist() == [10, 11, 12, 13, 14, 15]
    assert found.predicted.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.right.tolist() == [True] * 5 + [False]
    assert found.groups["side"].tolist() == ["left"] * 3 + ["right"] * 3
    assert found.confidence == pytest.approx([1 / (1 + np.exp(-abs(x))) for x in (3, 2, 1, 1, 2, 3)])
    assert found.robust is None


def test_an_attack_takes_the_rows_within_its_reach() -> None:
    """eps 1.5 carries the rows at -1 and 1 over the line; the row that was wrong before stays so."""
    attack = Attack(threat=ThreatModel(eps=1.5), steps=5)
    assert answers(Line(), batches(), FIELDS, attack=attack).robust.tolist() == [True, True, False, False, True, False]


def test_batches_change_no_answer() -> None:
    attack = Attack(threat=ThreatModel(eps=0.9), steps=3)
    whole, single = (answers(Line(), batches(size), FIELDS, attack=attack) for size in (6, 1))
    same_rows(whole, single)
    assert whole.robust.tolist() == single.robust.tolist()


def test_a_row_without_a_finite_output_is_wrong_and_not_class_zero() -> None:
    found = answers(Line(float("nan")), batches(), FIELDS, attack=Attack(threat=ThreatModel(eps=0.1)))
    assert not found.right.any()
    assert not found.robust.any()
    assert np.isnan(found.confidence).all()


def test_a_class_that_a_mask_rules_out_leaves_the_answer() -> None:
    class Masks(Line):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nn.functional.pad(super().forward(x), (0, 1), value=-torch.inf)

    attack = Attack(threat=ThreatModel(eps=1.5), steps=5)
    masked, plain = (answers(kind(), batches(), FIELDS, attack=attack) for kind in (Masks, Line))
    assert masked.right.tolist() == plain.right.tolist()
    assert masked.robust.tolist() == plain.robust.tolist()
    assert masked.confidence == pytest.approx(plain.confidence)


def test_one_logit_per_row() -> None:
    class Single(Line):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, 0] - self.at

    single, two = answers(Single(), batches(), FIELDS), answers(Line(), batches(), FIELDS)
    assert single.predicted.tolist() == two.predicted.tolist()
    assert single.confidence == pytest.approx(two.confidence)
    assert not answers(Single(float("nan")), batches(), FIELDS).right.any()


def test_rows_without_labels_have_answers_and_no_rights() -> None:
    found = answers(Line(), batches(), BatchFields(inputs="x", row_id="id"), attack=Attack(threat=ThreatModel(eps=1)))
    assert (found.target, found.robust) == (None, None)
    with pytest.raises(NotApplicable, match="without a label"):
        _ = found.right


@pytest.mark.parametrize("labels", [[0.0, float("nan"), 0, 1, float("nan"), 0], [0, -1, 0, 1, -100, 0]])
def test_a_row_whose_label_comes_later_has_none(labels: list[float]) -> None:
    (whole,) = batches(6)
    later = [{**whole, "y": torch.tensor(labels)}]
    found = answers(Line(), later, FIELDS)
    assert found.target.tolist() == [0, -1, 0, 1, -1, 0]
    assert found.labelled.ids.tolist() == [10, 12, 13, 15]
    assert found.labelled.right.tolist() == [True, True, True, False]
    with pytest.raises(NotApplicable, match="without a label"):
        _ = found.right
    with pytest.raises(NotApplicable, match="what an attack changes"):
        answers(Line(), later, FIELDS, attack=Attack(threat=ThreatModel(eps=1)))


def test_rows_need_an_identity() -> None:
    with pytest.raises(ConfigurationError, match="row_id="):
        answers(Line(), batches(), BatchFields(inputs="x"))
    with pytest.raises(NotApplicable, match="no rows"):
        answers(Line(), [], FIELDS)


@pytest.mark.parametrize("size", [6, 3])
def test_a_row_has_one_vote(size: int) -> None:
    """The last row stands twice, in one batch or in two."""
    twice = batches(size)
    twice[-1]["id"] = torch.tensor([*twice[-1]["id"].tolist()[:-1], 10 if size == 3 else 11])
    with pytest.raises(DataRefused, match="1 of 6 rows have the row id of another; deliver each row once"):
        answers(Line(), twice, FIELDS)


@pytest.mark.parametrize("size", [3, 6])
def test_every_repeated_row_is_counted_whatever_the_batches(size: int) -> None:
    ids = torch.tensor([7, 7, 8, 7, 8, 9])
    repeated = [{**batch, "id": ids[at * size : (at + 1) * size]} for at, batch in enumerate(batches(size))]
    with pytest.raises(DataRefused, match="3 of 6 rows have the row id of another"):
        answers(Line(), repeated, FIELDS)
    found = answers(Line(), repeated, FIELDS, first_of_each=True)
    assert (found.ids.tolist(), found.predicted.tolist()) == ([7, 8, 9], [0, 0, 1])
    assert found.groups["side"].tolist() == ["left", "left", "right"]


def test_what_is_no_classifier_is_told() -> None:
    with pytest.raises(NotApplicable, match=r"expected logits \(N, C\)"):
        answers(nn.Identity(), [{**batches()[0], "x": torch.zeros(3, 1, 2)}], FIELDS)


@pytest.mark.parametrize(("field", "said"), [("id", "same order"), ("y", "different classes"), ("side", "groups")])
def test_other_rows_are_not_compared(field: str, said: str) -> None:
    first, other = batches(6), batches(6)
    part = other[0][field]
    other[0][field] = part[::-1] if isinstance(part, list) else part.flip(0)
    with pytest.raises(FieldError, match=said):
        same_rows(answers(Line(), first, FIELDS), answers(Line(), other, FIELDS))
