from __future__ import annotations

import math

import pytest
import torch

from safeguards.core.errors import NotApplicable
from safeguards.drift.features import IMAGE_STATISTICS, MOST_FEATURES, features, predictions


def test_features_by_name_and_by_number() -> None:
    names, values = features(torch.tensor([[1, 2], [3, 4]]), None)
    assert (names, values.tolist()) == (["feature 0", "feature 1"], [[1.0, 2.0], [3.0, 4.0]])
    assert features(torch.zeros(3, 2), ["a", "b"])[0] == ["a", "b"]
    assert features(torch.zeros(3), ["a"])[1].shape == (3, 1)


@pytest.mark.parametrize(
    ("inputs", "columns", "text"),
    [
        (torch.zeros(3, 2), ["a"], "columns= names 1 features, inputs have 2"),
        ({"a": torch.zeros(3)}, None, "inputs are a dict"),
        (torch.zeros(1, MOST_FEATURES + 1), None, "more than"),
    ],
)
def test_inputs_that_are_refused(inputs: object, columns: list[str] | None, text: str) -> None:
    with pytest.raises(NotApplicable, match=text):
        features(inputs, columns)


def test_statistics_of_an_image_by_hand() -> None:
    image = torch.tensor([[[[0.0, 1.0], [4.0, 3.0]]]])
    names, values = features(image, None)
    assert names == [f"input {name}" for name in IMAGE_STATISTICS]
    expected = {"mean": 2.0, "standard deviation": 2.5**0.5, "minimum": 0, "maximum": 4, "contrast": 4, "sharpness": 1}
    assert values[0].tolist() == pytest.approx(list(expected.values()))


def test_contrast_does_not_see_one_bright_pixel() -> None:
    image = torch.zeros(1, 1, 10, 10)
    image[0, 0, 0, 0] = 1e6
    assert features(image, None)[1][0, IMAGE_STATISTICS.index("contrast")] == 0


def test_predictions_of_classes_and_of_one_logit() -> None:
    two = predictions(torch.tensor([[0.0, 0.0, 9.0], [5.0, 0.0, 0.0]]))
    assert two[:, 0].tolist() == [2, 0]
    assert two[0, 1] == pytest.approx(math.exp(9) / (math.exp(9) + 2), abs=1e-5)
    one = predictions(torch.tensor([2.0, -2.0]))
    assert one[:, 0].tolist() == [1, 0]
    assert one[:, 1].tolist() == pytest.approx([0.8808, 0.8808], abs=1e-4)


def test_scores_do_not_move_with_the_noise_of_a_batch() -> None:
    logits = torch.linspace(-3, 3, 60).reshape(20, 3)
    assert (predictions(logits) == predictions(logits + 1e-7)).all()


def test_a_class_that_a_mask_rules_out_leaves_a_score_over_the_others() -> None:
    assert predictions(torch.tensor([[0.0, -math.inf, 0.0], [0.0, 1.0, -math.inf]]))[:, 0].tolist() == [0, 1]
    assert predictions(torch.tensor([[0.0, -math.inf, 0.0]]))[0, 1] == 0.5


def test_a_batch_that_holds_only_copies_has_no_rows() -> None:
    assert features(torch.zeros(0, 3), None)[1].shape == (0, 3)
    assert features(torch.zeros(0, 1, 4, 4), None)[1].shape == (0, len(IMAGE_STATISTICS))
    assert predictions(torch.empty(0)).shape == predictions(torch.empty(0, 3)).shape == (0, 2)
