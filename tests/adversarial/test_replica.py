from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from safeguards.adversarial.replica import check_equal, copy_bytes, plain_copy, whole_weights
from safeguards.core.errors import NotApplicable, SafeguardError
from tests.adversarial.guarded import Plain, trainer


class Uncopyable:
    """Stands for what a hook may hold on to: an engine, an open file."""

    def __deepcopy__(self, memo: object) -> object:
        raise AssertionError("a hook was copied")

    def hook(self, *_: object) -> None:
        raise AssertionError("a hook ran")


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.norm(self.first(x)))


def copied(module: nn.Module) -> nn.Module:
    return plain_copy(module, whole_weights(module, partitioned=False))


def test_it_says_what_the_module_says_and_shares_nothing() -> None:
    module, x = Tied(), torch.randn(8, 4)
    module(x)
    copy = copied(module)
    assert torch.equal(copy(x), module.eval()(x))
    with torch.no_grad():
        copy.first.weight.zero_()
        copy.norm.running_mean.fill_(9)
    assert module.first.weight.abs().sum() > 0
    assert module.norm.running_mean.max() < 9
    assert copy.first.weight is copy.second.weight


def test_it_is_frozen_and_in_eval_mode() -> None:
    module = Tied().train()
    copy = copied(module)
    assert not any(p.requires_grad for p in copy.parameters())
    assert not any(child.training for child in copy.modules())
    assert all(child.training for child in module.modules())
    assert all(p.requires_grad for p in module.parameters())


def test_hooks_stay_behind() -> None:
    module, held = Tied(), Uncopyable()
    expected = module.eval()(torch.ones(2, 4))
    module.first.register_forward_hook(held.hook)
    module.register_forward_pre_hook(held.hook)
    module.norm.register_full_backward_hook(held.hook)
    assert torch.equal(copied(module)(torch.ones(2, 4)), expected)
    assert module.first._forward_hooks


def test_the_trainer_stays_behind(tmp_path: Path) -> None:
    module = Plain(Tied())
    module._trainer = trainer(tmp_path)
    module._trainer.held = Uncopyable()
    assert copied(module)._trainer is None
    assert module._trainer is not None


def test_its_size_is_known_before_it_is_made() -> None:
    module = Tied()
    assert copy_bytes(module) == 4 * 16 + 4 * 8 + 4 * 8 + 8
    module.first.weight.ds_numel = 1600  # type: ignore[assignment]
    assert copy_bytes(module) == 4 * 1600 + 4 * 8 + 4 * 8 + 8


def test_weights_partitioned_by_something_else_are_refused() -> None:
    with pytest.raises(NotApplicable, match="use pgd or apgd"):
        whole_weights(Tied(), partitioned=True)


@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
def test_a_copy_that_is_not_the_model_is_refused(wrong: float) -> None:
    live = torch.tensor([[10.0, 1.0]])
    check_equal(live, live + 1e-5)
    with pytest.raises(SafeguardError, match="not the model"):
        check_equal(live, live + wrong)


def test_a_mask_that_rules_a_class_out_is_the_same_on_both_sides() -> None:
    live = torch.tensor([[10.0, 1.0, -torch.inf]])
    check_equal(live, live + 1e-5)
    for other in (torch.tensor([[10.0, 1.0, -1e9]]), torch.tensor([[10.0, -torch.inf, -torch.inf]])):
        with pytest.raises(SafeguardError, match="not the model"):
            check_equal(live, other)
