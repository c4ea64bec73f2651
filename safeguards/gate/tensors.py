"""Nested inputs and outputs of a model as named tensors, and back: what safetensors can hold, and nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from safeguards.core.errors import ConfigurationError, EvidenceError

__all__ = ["LayoutError", "differences", "pack", "unpack"]

DEEPEST = 8
RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""Logits move by 3e-7 with the size of a batch; another processor may order sums differently."""


class LayoutError(ConfigurationError):
    """Inputs or outputs hold something other than tensors in dicts, lists and tuples."""


def pack(value: Any, prefix: str, *, room: int = DEEPEST) -> tuple[Any, dict[str, Tensor]]:
    """The layout of ``value`` as plain JSON, and its tensors by name. Raises `LayoutError`."""
    if isinstance(value, Tensor):
        return {"tensor": prefix}, {prefix: value.detach().cpu().contiguous().clone()}
    if room and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        packed = {key: pack(item, f"{prefix}/{key}", room=room - 1) for key, item in value.items()}
        return {"dict": {key: layout for key, (layout, _) in packed.items()}}, _joined(p for _, p in packed.values())
    if room and isinstance(value, (list, tuple)):
        parts = [pack(item, f"{prefix}/{number}", room=room - 1) for number, item in enumerate(value)]
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [layout for layout, _ in parts]}, _joined(tensors for _, tensors in parts)
    raise LayoutError(f"{prefix} holds a {type(value).__name__}: expected tensors in dicts, lists and tuples")


def unpack(layout: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`. Raises `EvidenceError` for a layout that it did not make."""
    try:
        return _unpack(layout, tensors, DEEPEST + 1)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise EvidenceError("the stored example does not fit its description") from None


def differences(expected: Any, found: Any) -> str | None:
    """None where both have one layout and equal numbers, up to rounding; NaN equals nothing. Else what differs."""
    wanted, tensors = pack(expected, "outputs")
    try:
        layout, others = pack(found, "outputs")
    except LayoutError as error:
        return str(error)
    if layout != wanted:
        return "the outputs have another structure"
    for name, one in tensors.items():
        if why := _differ(one, others[name]):
            return f"{name}: {why}"
    return None


def _differ(one: Tensor, other: Tensor) -> str | None:
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{other.dtype} of shape {tuple(other.shape)} in place of {one.dtype} of {tuple(one.shape)}"
    if torch.allclose(one, other, rtol=RELATIVE, atol=ABSOLUTE):
        return None
    if one.is_floating_point() and not bool(torch.isfinite(one).all() and torch.isfinite(other).all()):
        return "there are numbers that are none"
    apart = (one.to(torch.float64) - other.to(torch.float64)).abs().max()
    return f"numbers differ by up to {float(apart):.3g}"


def _unpack(layout: Any, tensors: Mapping[str, Tensor], room: int) -> Any:
    ((kind, inner),) = layout.items()
    if kind == "tensor":
        return tensors[inner]
    if room == 0 or kind not in ("dict", "list", "tuple"):
        raise ValueError(kind)
    if kind == "dict":
        return {str(key): _unpack(item, tensors, room - 1) for key, item in inner.items()}
    items = [_unpack(item, tensors, room - 1) for item in inner]
    return tuple(items) if kind == "tuple" else items


def _joined(parts: Any) -> dict[str, Tensor]:
    return {name: tensor for part in parts for name, tensor in part.items()}
