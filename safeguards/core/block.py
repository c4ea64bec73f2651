"""Steps that are read together: most of what a look costs, it costs once for many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from safeguards.core.batch import PLAIN, BatchFields, Found, select

__all__ = ["Block", "Part"]

ROWS_PER_BLOCK = 8192
NUMBERS_PER_BLOCK = 2**22
"""Outputs and fields together: 16 MiB in float32."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one step gives to whom only takes: fields and outputs of ``n`` rows, the first being row ``start``.

    Columns are copies: nothing keeps the batch alive, and what changes it later does not change them. Outputs were
    checked step by step: one odd row clears those of its own step of doubt, not all of the block's. ``batches`` are how
    many steps are in it.
    """

    start: int
    n: int
    fields: Mapping[Any, Any]
    outputs: Tensor
    batches: int = 1

    @classmethod
    def of(cls, batch: Any, fields: BatchFields, *, start: int, n: int, outputs: Tensor) -> Part | None:
        """None where some column is not of the kind that can be joined. Raises what `select` does."""
        columns = {where: _copied(select(batch, where, name), n) for name, where in fields.beside_inputs}
        outputs = _copied(outputs, n)
        if outputs is None or any(column is None for column in columns.values()):
            return None
        counted = {fields.inputs: torch.empty(n, 0)}
        return cls(start=start, n=n, fields=Found(counted | columns), outputs=outputs)

    @cached_property
    def kind(self) -> Any:
        """Alike for parts whose columns can stand in one."""
        return [_kind(column) for column in (self.outputs, *self.fields.values())]

    @cached_property
    def numbers(self) -> int:
        return sum(each.numel() for each in (self.outputs, *self.fields.values()) if isinstance(each, Tensor))


class Block:
    """Parts that follow each other, until there are enough of them."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._rows = self._numbers = 0

    def fits(self, part: Part) -> bool:
        """Whether it can join: of one kind with the last and next to it, and those are not too many."""
        if not self._parts:
            return True
        last, full = self._parts[-1], self._rows >= ROWS_PER_BLOCK or self._numbers >= NUMBERS_PER_BLOCK
        return not full and last.start + last.n == part.start and last.kind == part.kind

    def add(self, part: Part) -> None:
        self._rows += part.n
        self._numbers += part.numbers
        self._parts.append(part)

    def take(self) -> Part | None:
        """All parts, in ordinary tensors, as if they had come in one batch; the block is empty then."""
        parts, self._parts, self._rows, self._numbers = self._parts, [], 0, 0
        with torch.inference_mode(False):
            return _together(parts) if parts else None


def _together(parts: list[Part]) -> Part:
    first = parts[0]
    return Part(
        start=first.start,
        n=sum(part.n for part in parts),
        fields=Found({where: _joined([part.fields[where] for part in parts]) for where in first.fields}),
        outputs=_joined([part.outputs for part in parts]),
        batches=len(parts),
    )


def _copied(column: Any, n: int) -> Any:
    """A tensor with n rows, or n plain values; None for anything else."""
    if isinstance(column, Tensor):
        return column.detach().clone() if column.ndim and len(column) == n else None
    plain = type(column) in (list, tuple) and len(column) == n and isinstance(column[0], PLAIN)
    return list(column) if plain else None


def _kind(column: Any) -> Any:
    return (column.dtype, column.device, column.shape[1:]) if isinstance(column, Tensor) else list


def _joined(columns: Sequence[Any]) -> Any:
    return torch.cat(list(columns)) if isinstance(columns[0], Tensor) else list(chain.from_iterable(columns))
