from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards.core.errors import NotApplicable
from safeguards.drift.features import IMAGE_STATISTICS, MOST_FEATURES, features, levelled, outputs, predictions


def test_features_by_name_and_by_number() -> None:
    names, values = features(torch.tensor([[1, 2], [3, 4]]), None)
    assert (names, values.tolist()) == (["feature 0", "feature 1"], [[1.0, 2.0], [3.0, 4.0]])
    assert features(torch.zeros(3, 2), ["a", "b"])[0] == ["a", "b"]
    assert features(torch.zeros(3), ["a"])[1].shape == (3, 1)


@pytest.mark.parametrize(
    ("inputs", "columns", "text"),
    [
        (torch.zeros(3, 2), ["a"], "columns= names 1 features, inputs have 2: name each of them, in their order$"),
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


def test_outputs_by_hand() -> None:
    flat = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    names, values, width = outputs(flat, "encoder")
    assert (names, values.tolist(), width) == ([f"encoder {i}" for i in range(4)], [[1, 2, 3, 4]], 4)
    maps = torch.tensor([[[[1.0, 3.0]], [[5.0, 7.0]]]])
    assert outputs(maps, "conv")[:2] == (["conv 0", "conv 1"], pytest.approx(torch.tensor([[2.0, 6.0]])))
    assert outputs(torch.tensor([1, 2]), "score")[1].tolist() == [[1.0], [2.0]]
    assert [outputs(torch.zeros(0, *shape), "e")[1].shape for shape in ((), (3,), (2, 3), (2, 3, 4))] == [
        (0, 1),
        (0, 3),
        (0, 6),
        (0, 2),
    ]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 40), min_size=0, max_size=2) | st.lists(st.integers(1, 5), min_size=3, max_size=4),
    rows=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_outputs_of_any_shape(shape: list[int], rows: int, seed: int) -> None:
    """At most 32 numbers, in the order of their places, each under its own; another order of rows gives the same."""
    draw = torch.Generator().manual_seed(seed)
    output = torch.randn(rows, *shape, generator=draw)
    names, values, width = outputs(output, "e")
    whole = output.flatten(2).mean(2) if output.ndim > 3 else output.reshape(rows, -1)
    places = [int(name[2:]) for name in names]
    assert (width, len(places)) == (whole.shape[1], min(32, whole.shape[1]))
    assert places == sorted(set(places))
    assert torch.equal(values, whole[:, places])
    order = torch.randperm(rows, generator=draw)
    assert torch.equal(outputs(output[order], "e")[1], values[order])


def test_levels_take_away_noise_and_keep_order() -> None:
    then, now = torch.tensor([[1.0, 1e-7], [3.0, 0.0]]), torch.tensor([[1.0 + 2.0**-22, -1e-7], [math.inf, math.nan]])
    level, level_now = levelled(then, now)
    assert level.tolist() == [[1.0, 0.0], [3.0, 0.0]]
    assert level_now[0].tolist() == [1.0, 0.0]
    assert (level_now[1, 0], bool(level_now[1, 1].isnan())) == (math.inf, True)
    for nothing in (torch.zeros(2, 3), torch.zeros(0, 3), torch.full((2, 3), math.nan)):
        assert torch.equal(levelled(nothing, then)[1], then)
