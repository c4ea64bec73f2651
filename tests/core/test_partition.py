"""The marks of spread weights by hand; `tests/deepspeed` sees the real ones."""

import torch
from torch import nn

from safeguards.core.partition import in_parts, is_partitioned, local_part


def test_one_weight_in_parts_is_enough() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    assert not is_partitioned(module)
    module[1].bias.ds_id = 7
    assert is_partitioned(module)
    assert [in_parts(weight) for weight in module.parameters()] == [False, False, False, True]


def test_a_module_without_weights_is_whole() -> None:
    assert not is_partitioned(nn.ReLU())


def test_the_local_part_is_the_weight_itself_or_what_stands_for_it() -> None:
    weight = nn.Parameter(torch.arange(4.0))
    assert torch.equal(local_part(weight), torch.arange(4.0))
    assert not local_part(weight).requires_grad
    weight.ds_tensor = torch.arange(2.0)
    assert torch.equal(local_part(weight), torch.arange(2.0))


def test_a_weight_without_values_has_no_local_part() -> None:
    assert local_part(nn.LazyLinear(2).weight) is None
    assert local_part(nn.Parameter(torch.empty(2, device="meta"))) is None


def test_a_part_inside_a_tensor_of_many_processes_is_taken_out() -> None:
    class Spread:
        def to_local(self) -> torch.Tensor:
            return torch.ones(3)

    weight = nn.Parameter(torch.zeros(6))
    weight.ds_tensor = Spread()
    assert torch.equal(local_part(weight), torch.ones(3))
