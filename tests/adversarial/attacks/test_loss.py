import pytest
import torch
from torch import nn

from safeguards.adversarial.attacks.loss import Target, predicted, slope, wrong


def margin(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return Target(y).standing(logits).margin


def ascent(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    target = Target(y)
    return target.ascent(logits, target.standing(logits))


def held(logits: torch.Tensor, y: torch.Tensor) -> list[bool]:
    return Target(y).standing(logits).held.tolist()


def test_margin_by_hand() -> None:
    logits = torch.tensor([[1.0, 3.0], [4.0, 1.0]])
    assert margin(logits, torch.tensor([0, 0])).tolist() == [2.0, -3.0]
    assert margin(torch.tensor([2.0, -1.0]), torch.tensor([1, 1])).tolist() == [-2.0, 1.0]


def test_margin_is_cross_entropy_before_its_softplus() -> None:
    logits, y = torch.randn(50, 7), torch.randint(0, 7, (50,))
    expected = nn.functional.cross_entropy(logits, y, reduction="none")
    torch.testing.assert_close(nn.functional.softplus(margin(logits, y)), expected)


def test_ascent_is_a_positive_multiple_of_the_gradient_of_cross_entropy() -> None:
    logits, y = torch.randn(50, 7, requires_grad=True), torch.randint(0, 7, (50,))
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, y, reduction="sum"), logits)
    ours = ascent(logits.detach(), y)
    torch.testing.assert_close(ours, gradient / gradient.abs().amax(1, keepdim=True))


def test_ascent_of_one_logit_is_that_of_two() -> None:
    y = torch.tensor([0, 1])
    assert ascent(torch.tensor([5.0, 5.0]), y).tolist() == [1.0, -1.0]


def test_a_class_that_a_mask_rules_out_has_no_share_in_the_ascent() -> None:
    logits, y = torch.tensor([[0.0, 0.0, 0.0, -torch.inf], [2.0, *[-torch.inf] * 3]]), torch.tensor([0, 0])
    assert ascent(logits, y).tolist() == [[-1.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert margin(logits, y).tolist() == [pytest.approx(0.6931472), pytest.approx(torch.finfo(torch.float32).min)]
    assert held(logits, y) == [True, True]


def test_a_sure_answer_keeps_its_slope_where_cross_entropy_has_none() -> None:
    net, x, y = nn.Linear(2, 2), torch.tensor([[1.0, 1.0]]), torch.tensor([1])
    net.weight.data, net.bias.data = torch.tensor([[0.0, 0.0], [500.0, 500.0]]), torch.zeros(2)
    asked = x.clone().requires_grad_()
    (theirs,) = torch.autograd.grad(nn.functional.cross_entropy(net(asked), y), asked)
    assert theirs.tolist() == [[0.0, 0.0]]
    assert slope(net, x, Target(y))[1].tolist() == [[-500.0, -500.0]]


def test_a_row_is_held_until_another_class_is_above_its_own() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [3.0, 3.0, 2.0], [3.0, 1.0, 2.0]])
    assert held(logits, torch.tensor([0, 0, 0])) == [False, True, True]
    assert held(logits, torch.tensor([1, 2, 2])) == [True, False, False]
    assert held(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([1, 1, 1])) == [False, True, True]
    assert held(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([0, 0, 0])) == [True, True, False]


def test_rows_are_held_where_the_largest_logit_is_their_own() -> None:
    logits, y = torch.randn(500, 5), torch.randint(0, 5, (500,))
    assert held(logits, y) == (predicted(logits) == y).tolist()
    assert held(logits[:, 0], y % 2) == (predicted(logits[:, 0]) == y % 2).tolist()


def test_an_own_logit_that_overflows_can_still_be_climbed_from() -> None:
    logits, y = torch.tensor([[torch.inf, 1.0, 1.0]]), torch.tensor([0])
    assert ascent(logits, y).tolist() == [[-1.0, 0.5, 0.5]]
    assert held(logits, y) == [True]
    assert margin(logits, y).tolist() == [-torch.inf]


def test_a_gradient_that_is_one_number_for_many_can_be_stepped_along() -> None:
    x, y = torch.zeros(2, 3), torch.tensor([1, 1])
    assert slope(lambda x: x.sum(1) - 1, x, Target(y))[1].sign_().tolist() == [[-1.0] * 3] * 2


def test_without_gradients_there_is_no_slope() -> None:
    with torch.no_grad(), pytest.raises(RuntimeError, match="gradients are off"):
        slope(nn.Linear(2, 2), torch.zeros(1, 2), Target(torch.tensor([0])))


@pytest.mark.parametrize("y", [0, 1])
@pytest.mark.parametrize("logits", [[[float("nan"), 0.0]], [[0.0, float("nan")]], [float("nan")]])
def test_a_row_without_a_number_is_not_held(logits: list[object], y: int) -> None:
    assert held(torch.tensor(logits), torch.tensor([y])) == [False]


@pytest.mark.parametrize("logits", [torch.tensor([[float("nan"), 0.0]]), torch.tensor([float("nan")])])
def test_no_number_is_wrong_for_every_class(logits: torch.Tensor) -> None:
    assert wrong(logits, torch.tensor([0])).all()
    assert wrong(logits, torch.tensor([1])).all()


def test_one_logit_predicts_its_sign() -> None:
    assert predicted(torch.tensor([-0.1, 0.0, 0.1])).tolist() == [0, 0, 1]


def test_outputs_that_do_not_depend_on_the_input_have_zero_slope() -> None:
    x, y = torch.ones(2, 3), torch.tensor([0, 1])
    assert slope(lambda x: torch.zeros(len(x), 2), x, Target(y))[1].abs().sum() == 0
    other = torch.ones(2, requires_grad=True)
    assert slope(lambda x: other.expand(len(x), 2) * 1, x, Target(y))[1].abs().sum() == 0


def test_half_precision_is_climbed_in_float32() -> None:
    logits = torch.tensor([[10.0, 10.01]], dtype=torch.float16)
    assert margin(logits, torch.tensor([0])).dtype == torch.float32
    assert ascent(logits, torch.tensor([0])).dtype == torch.float16
