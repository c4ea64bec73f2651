"""Reading weights that ZeRO-3 has split over the processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from safeguards.core.partition import in_parts

__all__ = ["full_state_dict"]


@torch.no_grad()
def full_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """Whole weights and persistent buffers as CPU copies, named as in ``state_dict()``.

    Weights are the same on all processes; a buffer, such as BatchNorm's running mean, is each process's own.

    A collective where the weights are partitioned: all processes call it together, with the same module. One weight is
    whole at a time, so a device needs room for its largest weight only, and each process's memory for one model.
    """
    entries = module.state_dict(keep_vars=True)
    return {name: _whole(entry) for name, entry in entries.items() if isinstance(entry, Tensor)}


def _whole(entry: Tensor) -> Tensor:
    if not in_parts(entry):
        return _copy(entry)
    import deepspeed

    with deepspeed.zero.GatheredParameters([entry]):
        return _copy(entry)


def _copy(entry: Tensor) -> Tensor:
    return entry.detach().to("cpu", copy=True)
