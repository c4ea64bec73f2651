"""What a process holds of weights that are spread over many, told from the marks that ZeRO-3 leaves on a parameter."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["in_parts", "is_partitioned", "local_part"]


def in_parts(weight: Tensor) -> bool:
    """Whether ZeRO-3 holds this weight in parts."""
    return hasattr(weight, "ds_id")


def is_partitioned(module: nn.Module) -> bool:
    """Whether ZeRO-3 holds any of the module's weights in parts, so that a forward is a collective. Local."""
    return any(map(in_parts, module.parameters()))


def local_part(weight: Tensor) -> Tensor | None:
    """What this process holds: ZeRO-3 keeps it beside the weight, a DTensor inside it. None while it has no values."""
    if torch.nn.parameter.is_lazy(weight):
        return None
    part = getattr(weight, "ds_tensor", weight)
    part = part.to_local() if hasattr(part, "to_local") else part
    return None if part.is_meta else part.detach()
