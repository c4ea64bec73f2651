"""A plain local copy of a model, for attacks whose loops depend on the data and so cannot keep ranks in step."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from safeguards.core.errors import NotApplicable, SafeguardError
from safeguards.core.partition import in_parts

__all__ = ["check_equal", "copy_bytes", "plain_copy", "whole_weights"]

CLOSE = 1e-5  # of the largest output: what a different order of the same float32 sums can make


def copy_bytes(module: nn.Module) -> int:
    """Bytes that the whole weights and buffers take, also where this rank holds a part of them."""
    weights = sum(getattr(p, "ds_numel", p.numel()) * p.element_size() for p in module.parameters())
    return int(weights + sum(b.numel() * b.element_size() for b in module.buffers()))


def whole_weights(module: nn.Module, *, partitioned: bool) -> dict[str, Tensor]:
    """Weights by the names of ``named_parameters()``; a collective where they are partitioned.

    Raises `NotApplicable` where they are partitioned by something else than ZeRO-3.
    """
    if not partitioned:
        return {name: p.detach().clone() for name, p in module.named_parameters()}
    if not all(map(in_parts, module.parameters())):
        raise NotApplicable("ART attacks need whole weights, which are gathered from ZeRO-3 only: use pgd or apgd")
    from safeguards.deepspeed.weights import full_state_dict

    gathered = full_state_dict(module)
    return {name: gathered[name] for name, _ in module.named_parameters()}


def plain_copy(module: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """The module with these weights, frozen and without any hook, the user's or ZeRO's.

    A LightningModule leaves its trainer behind by itself.
    """
    memo: dict[int, Any] = {}
    device = next((b.device for b in module.buffers()), getattr(module, "device", torch.device("cpu")))
    for name, parameter in module.named_parameters():
        memo[id(parameter)] = nn.Parameter(weights[name].to(device), requires_grad=False)
    for child in module.modules():
        memo |= _plain_parts(child, memo)
    return copy.deepcopy(module, memo).eval()


def _plain_parts(child: nn.Module, memo: Mapping[int, Any]) -> dict[int, Any]:
    """What stands for a module's hooks and parameters in the copy, so that nothing they hold on to is copied along."""
    held = [part for name, part in vars(child).items() if "hooks" in name and isinstance(part, dict)]
    hooks: dict[int, Any] = {id(part): OrderedDict() for part in held}
    own = {name: None if p is None else memo[id(p)] for name, p in dict.items(child._parameters)}
    return {**hooks, id(child._parameters): own}


def check_equal(live: Tensor, copied: Tensor) -> None:
    """Raise `SafeguardError` unless the outputs of the copy are those of the live model on the same rows."""
    gap = float((live - copied).abs().masked_fill(live == copied, 0).max())
    size = max(1.0, float(live.abs().masked_fill(live.isinf(), 0).max()))
    if not gap <= CLOSE * size:
        raise SafeguardError(f"the plain copy is not the model: their outputs differ by {gap:.3g} on one batch")
