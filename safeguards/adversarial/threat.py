"""What an attacker may do to a row: how far, within which range, on which features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from safeguards.core.errors import ConfigurationError

__all__ = ["Features", "ThreatModel"]

Features = float | Sequence[Any]
ROUNDING = 1e-6  # of the range's ends: scaling data in float32 leaves values this far outside


@dataclass(frozen=True, kw_only=True, eq=False)
class ThreatModel:
    """The changes of a row that leave its true class as it is.

    ``eps`` is in the unit of the inputs that the model sees: one number, or one per feature in the shape of a row. With
    ``norm="inf"`` each feature moves by at most its eps; with ``norm="2"`` the change d keeps ``||d / eps||_2 <= 1``,
    which for one number is ``||d||_2 <= eps``; a feature with eps 0 stays. ``clip`` is the (lowest, highest) value that
    a feature can have, numbers or one per feature; None where no such range is known. ``mutable`` is true for the
    features that an attacker can change; None means all. Raises `ConfigurationError` when a value is not of this kind.
    """

    norm: Literal["inf", "2"] = "inf"
    eps: Features
    clip: tuple[Features, Features] | None = None
    mutable: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if self.norm not in ("inf", "2"):
            raise ConfigurationError(f'ThreatModel(norm={self.norm!r}): expected "inf" or "2"')
        eps = self._eps
        if not torch.isfinite(eps).all() or (eps < 0).any() or not eps.any():
            raise ConfigurationError(
                f"ThreatModel(eps={_short(self.eps)}): expected finite numbers, 0 or more, not all 0"
            )
        self._check_clip()
        if self.mutable is not None and not _any_of(eps, _flags(self.mutable)):
            raise ConfigurationError("ThreatModel(mutable=...): no feature with an eps is true: nothing to attack")

    def _check_clip(self) -> None:
        if self.clip is None:
            return
        if not isinstance(self.clip, (tuple, list)) or len(self.clip) != 2:
            raise ConfigurationError(f"ThreatModel(clip={_short(self.clip)}): expected (lowest, highest), as in (0, 1)")
        low, high = self._ends
        if torch.isnan(low).any() or torch.isnan(high).any() or not _all_below(low, high):
            raise ConfigurationError(
                f"ThreatModel(clip={_short(self.clip)}): expected lowest < highest for each feature"
            )

    @cached_property
    def _eps(self) -> Tensor:
        return _numbers(self.eps, "eps")

    @cached_property
    def _ends(self) -> tuple[Tensor, ...]:
        return () if self.clip is None else tuple(_numbers(end, "clip") for end in self.clip)

    @cached_property
    def moves_all(self) -> bool:
        """Whether an attacker may change every feature."""
        return self.mutable is None and bool((self._eps > 0).all())

    @property
    def largest_eps(self) -> float:
        """The eps of the feature that may move most; for one number, that number."""
        return float(self._eps.max())

    def reach(self, row: Tensor) -> Tensor:
        """The eps of each feature in the shape of ``row`` (one row, no batch dimension); 0 where it may not change."""
        reach = _broadcast(self._eps.to(row), row, "eps")
        return reach if self.mutable is None else reach * self.free(row)

    def free(self, row: Tensor) -> Tensor:
        """Bool in the shape of ``row``: the features that an attacker may change."""
        if self.mutable is None:
            return torch.ones_like(row, dtype=torch.bool)
        flags = _flags(self.mutable).to(row.device)
        return _broadcast(flags, row, "mutable")

    def range(self, row: Tensor) -> tuple[Tensor, Tensor] | None:
        """(lowest, highest) of each feature in the shape of ``row``, or None where no range is known."""
        if self.clip is None:
            return None
        low, high = (_broadcast(end.to(row), row, "clip") for end in self._ends)
        return low, high

    def outside(self, x: Tensor, row: Tensor) -> int | None:
        """Rows of ``x`` (N, ...) that are out of range in a feature that may change; None where no range is known."""
        limits = self.range(row)
        if limits is None:
            return None
        low, high = limits
        slack = ROUNDING * torch.maximum(low.abs(), high.abs())
        out = ((x < low - slack) | (x > high + slack)) & (self.reach(row) > 0)
        return int(out.flatten(1).any(1).sum())

    def describe(self) -> dict[str, Any]:
        """Plain values for a verdict's details; long lists shortened to their range."""
        return {
            "norm": self.norm,
            "eps": _short(self.eps),
            "clip": None if self.clip is None else [_short(end) for end in self.clip],
            "mutable": "all" if self.mutable is None else f"{int(_flags(self.mutable).sum())} features",
        }


def _numbers(value: Any, name: str) -> Tensor:
    try:
        return torch.as_tensor(value.detach() if isinstance(value, Tensor) else np.asarray(value, np.float64)).double()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"ThreatModel({name}={_short(value)}): expected numbers, one or one per feature"
        ) from error


def _flags(value: Any) -> Tensor:
    flags = torch.as_tensor(value if isinstance(value, Tensor) else np.asarray(value))
    if flags.dtype != torch.bool:
        raise ConfigurationError(f"ThreatModel(mutable={_short(value)}): expected true or false for each feature")
    return flags


def _any_of(eps: Tensor, flags: Tensor) -> bool:
    try:
        return bool((eps * flags).any())
    except RuntimeError as error:
        shapes = f"{tuple(eps.shape)} and {tuple(flags.shape)}"
        raise ConfigurationError(f"ThreatModel(eps=..., mutable=...): their shapes {shapes} differ") from error


def _all_below(low: Tensor, high: Tensor) -> bool:
    try:
        return bool((low < high).all())
    except RuntimeError as error:
        raise ConfigurationError(f"ThreatModel(clip=...): shapes {tuple(low.shape)} and {tuple(high.shape)}") from error


def _broadcast(values: Tensor, row: Tensor, name: str) -> Tensor:
    try:
        return values.expand(row.shape).clone()
    except RuntimeError as error:
        shapes = f"{tuple(values.shape)} does not fit rows of shape {tuple(row.shape)}"
        raise ConfigurationError(f"ThreatModel({name}=...): its shape {shapes}") from error


def _short(value: Any) -> str | float:
    if isinstance(value, (int, float)):
        return float(value)
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
