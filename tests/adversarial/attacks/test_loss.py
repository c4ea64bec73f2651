import pytest
import torch
from torch import nn

from safeguards.adversarial.attacks.loss import ascent, margin, predicted, slope, wrong


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
    assert ascent(logits, y).tolist() == [[-1.0, 0.5, 0.5, 0.0], [-1.0, 0.0, 0.0, 0.0]]
    assert margin(logits, y).tolist() == [pytest.approx(0.6931472), -torch.inf]


def test_a_sure_answer_keeps_its_slope_where_cross_entropy_has_none() -> None:
    net, x, y = nn.Linear(2, 2), torch.tensor([[1.0, 1.0]]), torch.tensor([1])
    net.weight.data, net.bias.data = torch.tensor([[0.0, 0.0], [500.0, 500.0]]), torch.zeros(2)
    asked = x.clone().requires_grad_()
    (theirs,) = torch.autograd.grad(nn.functional.cross_entropy(net(asked), y), asked)
    assert theirs.tolist() == [[0.0, 0.0]]
    assert slope(net, x, y)[1].tolist() == [[-500.0, -500.0]]


@pytest.mark.parametrize("logits", [torch.tensor([[float("nan"), 0.0]]), torch.tensor([float("nan")])])
def test_no_number_is_wrong_for_every_class(logits: torch.Tensor) -> None:
    assert wrong(logits, torch.tensor([0])).all()
    assert wrong(logits, torch.tensor([1])).all()


def test_one_logit_predicts_its_sign() -> None:
    assert predicted(torch.tensor([-0.1, 0.0, 0.1])).tolist() == [0, 0, 1]


def test_outputs_that_do_not_depend_on_the_input_have_zero_slope() -> None:
    x, y = torch.ones(2, 3), torch.tensor([0, 1])
    assert slope(lambda x: torch.zeros(len(x), 2), x, y)[1].abs().sum() == 0
    other = torch.ones(2, requires_grad=True)
    assert slope(lambda x: other.expand(len(x), 2) * 1, x, y)[1].abs().sum() == 0


def test_half_precision_is_climbed_in_float32() -> None:
    logits = torch.tensor([[10.0, 10.01]], dtype=torch.float16)
    assert margin(logits, torch.tensor([0])).dtype == torch.float32
