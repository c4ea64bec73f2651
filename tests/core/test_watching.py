"""Nothing that happens inside may be seen after."""

import random

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from safeguards.core.watching import no_trace


class Loud(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
        self.register_buffer("calls", torch.zeros(1))
        self.net[0].bias.requires_grad_(False)
        self.net[1].eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.log("inner", x.sum())
        self.calls += 1
        return self.net(x)


def draws() -> tuple[float, float, float]:
    return float(torch.rand(1)), float(np.random.rand()), random.random()


def disturb(module: Loud) -> None:
    draws()
    module.train()
    with torch.enable_grad():
        module(torch.randn(5, 3)).sum().backward()
    for parameter in module.parameters():
        parameter.requires_grad_(not parameter.requires_grad)
        if parameter.grad is not None:
            parameter.grad.zero_()
    module.calls = torch.full((1,), 9.0)
    nn.Linear(3, 3)


@pytest.mark.parametrize("fails", [False, True])
def test_everything_comes_back(fails: bool) -> None:
    module = Loud()
    module.net[3].weight.grad = torch.full((2, 4), 7.0)
    gradient, buffer = module.net[3].weight.grad, module.calls
    before = {
        "flags": [p.requires_grad for p in module.parameters()],
        "modes": [m.training for m in module.modules()],
        "state": {k: v.clone() for k, v in module.state_dict().items()},
    }
    for seeded in (torch.manual_seed, np.random.seed, random.seed):
        seeded(3)
    expected = draws()
    for seeded in (torch.manual_seed, np.random.seed, random.seed):
        seeded(3)
    with pytest.raises(KeyError) if fails else no_trace(nn.Identity()), no_trace(module):
        disturb(module)
        if fails:
            raise KeyError
    assert draws() == expected
    assert [p.requires_grad for p in module.parameters()] == before["flags"]
    assert [m.training for m in module.modules()] == before["modes"]
    assert module.net[3].weight.grad is gradient
    assert gradient.eq(7).all()
    assert [p.grad is None for p in module.parameters()].count(False) == 1
    assert module.calls is buffer
    assert all(torch.equal(value, before["state"][key]) for key, value in module.state_dict().items())
    assert "log" not in vars(module)


def test_inside_is_eval_without_gradients_or_inference() -> None:
    module = Loud()
    with torch.inference_mode(), no_trace(module):
        assert not any(child.training for child in module.modules())
        assert not torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        with torch.enable_grad():
            x = torch.zeros(2, 3, requires_grad=True)
            (gradient,) = torch.autograd.grad(module(x).sum(), x)
    assert gradient.shape == (2, 3)


def test_a_users_own_log_comes_back() -> None:
    module = Loud()
    said: list[str] = []
    own = lambda name, value: said.append(name)  # noqa: E731
    object.__setattr__(module, "log", own)
    with no_trace(module):
        module.log("inner", 1)
    assert module.log is own
    assert said == []
