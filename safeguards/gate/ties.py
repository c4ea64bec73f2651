"""Weights that are one under several names: kept once, and one again once they are loaded."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from safeguards.core.errors import ConfigurationError, EvidenceError

__all__ = ["tie", "ties_of"]


def ties_of(module: nn.Module) -> dict[str, str]:
    """For each name of a weight but its first, the first: ``{"decoder.weight": "encoder.weight"}``.

    Raises `ConfigurationError` where two weights overlap in memory without being one, which no file of tensors keeps.
    """
    held = {n: e for n, e in module.state_dict(keep_vars=True).items() if isinstance(e, Tensor)}
    firsts: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    for name, entry in held.items():
        first = next((other for other, kept in firsts.items() if _are_one(kept, entry)), None)
        if first is not None:
            ties[name] = first
            continue
        for other, kept in firsts.items():
            if _overlap(kept, entry):
                raise ConfigurationError(
                    f"the weights {other} and {name} overlap in memory and are not one: give them memory of their own"
                )
        firsts[name] = entry
    return ties


def tie(module: nn.Module, ties: Mapping[str, str]) -> None:
    """Make the names of ``ties`` one, where the module's constructor has not done so already.

    Raises `EvidenceError` for names that the module does not have or whose shapes differ.
    """
    entries = module.state_dict(keep_vars=True)
    for name, first in ties.items():
        one, other = entries.get(first), entries.get(name)
        if one is None or other is None or one.shape != other.shape:
            raise EvidenceError(f"the module has no weights {first!r} and {name!r} of one shape")
        if not _are_one(one, other):
            owner, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(owner), attribute, one)


def _are_one(one: Tensor, other: Tensor) -> bool:
    if one is other:
        return True
    if _span(one) is None or _span(other) is None:
        return False
    same = one.data_ptr() == other.data_ptr() and one.device == other.device
    return same and one.shape == other.shape and one.stride() == other.stride() and one.dtype == other.dtype


def _overlap(one: Tensor, other: Tensor) -> bool:
    first, second = _span(one), _span(other)
    if first is None or second is None or one.device != other.device:
        return False
    return first[0] < second[1] and second[0] < first[1]


def _span(entry: Tensor) -> tuple[int, int] | None:
    """First and last byte, None where this process holds no values."""
    if entry.is_meta or entry.numel() == 0:
        return None
    reach = sum((size - 1) * abs(step) for size, step in zip(entry.shape, entry.stride(), strict=True))
    return entry.data_ptr(), entry.data_ptr() + (reach + 1) * entry.element_size()
