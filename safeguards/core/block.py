"""Steps that are read together: most of what a look costs, it costs once for many rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from safeguards.core.batch import PLAIN, BatchFields, Found, Selector, select
from safeguards.core.predictions import are_outputs

__all__ = ["Block", "Part"]

ROWS_PER_BLOCK = 8192
NUMBERS_PER_BLOCK = 2**22
"""Outputs and fields together: 16 MiB in float32."""


@dataclass(kw_only=True)
class Part:
    """What one step gives to whom only takes: fields and outputs of ``n`` rows, the first being row ``start``.

    Columns are copies: nothing keeps the batch alive, and what changes it later does not change them. Outputs are as
    the step gave them, unless they are ``logits`` already. Parts of one ``kind`` can stand in one; ``steps`` are how
    many rows each step in it had.
    """

    start: int
    n: int
    fields: Mapping[Any, Any]
    outputs: Tensor
    logits: bool
    kind: list[Any]
    steps: list[int]

    @classmethod
    def of(
        cls, batch: Any, fields: BatchFields, *, start: int, n: int, outputs: Any, logits: bool = False
    ) -> Part | None:
        """None where it has no rows or some column is not of the kind that can be joined. Raises what `select` does."""
        if not n or not are_outputs(outputs):
            return None
        columns = {where: select(batch, where, name) for name, where in fields.beside_inputs}
        kind = [_kind(column, n) for column in (outputs, *columns.values())]
        if None in kind:
            return None
        copies = {where: _copied(column) for where, column in columns.items()}
        kind.append(logits)
        return cls(start=start, n=n, fields=copies, outputs=_copied(outputs), logits=logits, kind=kind, steps=[n])

    @property
    def numbers(self) -> int:
        """Of outputs and fields together; as many for each row of parts of one kind."""
        return sum(each.numel() for each in (self.outputs, *self.fields.values()) if isinstance(each, Tensor))


class Block:
    """Parts that follow each other, until there are enough of them; of ``inputs`` no more is kept than their number."""

    def __init__(self, inputs: Selector) -> None:
        self._inputs = inputs
        self._parts: list[Part] = []
        self._next = self._end = 0

    def fits(self, part: Part) -> bool:
        """Whether it can join: of one kind with those before and next to them, and those are not too many."""
        return not self._parts or (self._next == part.start < self._end and self._parts[0].kind == part.kind)

    def add(self, part: Part) -> None:
        if not self._parts:
            most = min(ROWS_PER_BLOCK, NUMBERS_PER_BLOCK * part.n / max(1, part.numbers))
            self._end = part.start + math.ceil(most)
        self._parts.append(part)
        self._next = part.start + part.n

    def take(self) -> Part | None:
        """All parts, in ordinary tensors, as if they had come in one batch; the block is empty then."""
        parts, self._parts = self._parts, []
        with torch.inference_mode(False):
            return _together(parts, self._inputs) if parts else None


def _together(parts: list[Part], inputs: Selector) -> Part:
    first, n = parts[0], sum(part.n for part in parts)
    joined = {where: _joined([part.fields[where] for part in parts]) for where in first.fields}
    return Part(
        start=first.start,
        n=n,
        fields=Found({inputs: torch.empty(n, 0)} | joined),
        outputs=_joined([part.outputs for part in parts]),
        logits=first.logits,
        kind=first.kind,
        steps=[part.n for part in parts],
    )


def _kind(column: Any, n: int) -> Any:
    """Alike for columns of n rows that can be joined: tensors, or plain values; None for anything else."""
    if isinstance(column, Tensor):
        return (column.dtype, column.device, column.shape[1:]) if column.ndim and column.size(0) == n else None
    return list if type(column) in (list, tuple) and len(column) == n and isinstance(column[0], PLAIN) else None


def _copied(column: Any) -> Any:
    return column.detach().clone() if isinstance(column, Tensor) else list(column)


def _joined(columns: Sequence[Any]) -> Any:
    return torch.cat(list(columns)) if isinstance(columns[0], Tensor) else list(chain.from_iterable(columns))
