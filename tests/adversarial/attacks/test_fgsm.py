from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from safeguards.adversarial.attacks import fgsm
from safeguards.adversarial.attacks.loss import Target
from safeguards.adversarial.threat import ThreatModel
from tests.adversarial.attacks.nets import linear, trained


def test_one_step_by_hand() -> None:
    x, y = torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([0, 1])
    found = fgsm(linear(1.0, -2.0), x, y, ThreatModel(eps=0.1))
    torch.testing.assert_close(found.x, torch.tensor([[0.6, 0.4], [0.4, 0.6]]))
    found = fgsm(linear(3.0, -4.0), x, y, ThreatModel(norm="2", eps=0.5))
    torch.testing.assert_close(found.x, torch.tensor([[0.8, 0.1], [0.2, 0.9]]))


def test_multiples_of_eps() -> None:
    found = fgsm(linear(1.0, -2.0), torch.zeros(1, 2), torch.tensor([0]), ThreatModel(eps=0.1), multiple=3)
    torch.testing.assert_close(found.x, torch.tensor([[0.3, -0.3]]))


@pytest.mark.parametrize(("norm", "theirs"), [("inf", np.inf), ("2", 2)])
def test_the_same_rows_as_art(norm: str, theirs: float) -> None:
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import PyTorchClassifier

    net, x, y = trained()
    unsure = Target(y).standing(net(x)).margin > -8
    x, y = x[unsure], y[unsure]
    classifier = PyTorchClassifier(net, nn.CrossEntropyLoss(), (6,), 3, clip_values=(0.0, 1.0), device_type="cpu")
    expected = FastGradientMethod(classifier, norm=theirs, eps=0.07).generate(x.numpy(), y.numpy())
    found = fgsm(net, x, y, ThreatModel(norm=norm, eps=0.07, clip=(0, 1)))
    assert len(x) > 200
    torch.testing.assert_close(found.x, torch.from_numpy(expected), rtol=0, atol=1e-5)


def test_sure_rows_follow_the_gradient_in_double_precision() -> None:
    """Where cross-entropy in float32 has rounded its gradient away, and ART steps by what is left."""
    net, x, y = trained()
    sure = Target(y).standing(net(x)).margin < -15
    x, y = x[sure], y[sure]
    asked = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(deepcopy(net).double()(asked), y), asked)
    found = fgsm(net, x, y, ThreatModel(eps=0.07))
    assert len(x) > 3
    torch.testing.assert_close(found.x, x + 0.07 * gradient.sign().float())


def test_what_it_says_about_steering() -> None:
    x, y = torch.full((1, 2), 0.5), torch.tensor([0])
    assert fgsm(linear(1.0, 1.0), x, y, ThreatModel(eps=0.1)).steered.all()
    blind = fgsm(linear(1.0, 0.0), x, y, ThreatModel(eps=0.1, mutable=[False, True]))
    assert (blind.sloped.item(), blind.steered.item(), blind.moved.item()) == (True, False, False)
    flat = fgsm(lambda x: nn.Linear(2, 2)(x).round(), x, y, ThreatModel(eps=0.1))
    assert (flat.sloped.item(), flat.steered.item(), flat.moved.item()) == (False, False, False)
    huge = fgsm(linear(1.0, 1.0), torch.full((1, 2), 1e8), y, ThreatModel(eps=0.1))
    assert (huge.steered.item(), huge.moved.item()) == (True, False)


def test_runs_in_inference_mode_and_touches_no_gradient() -> None:
    net, x, y = trained()
    with torch.inference_mode():
        found = fgsm(net, x + 0, y, ThreatModel(eps=0.05))
    assert not found.x.is_inference()
    assert all(p.grad is None for p in net.parameters())
