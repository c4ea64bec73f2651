"""Rows of several batches, to be looked at together: most of what a look costs, it costs once for many rows."""

from __future__ import annotations

from itertools import chain
from typing import cast

import torch
from torch import Tensor

from safeguards.core.rows import Known, Rows

__all__ = ["Block"]

ROWS_PER_BLOCK = 8192
NUMBERS_PER_BLOCK = 2**22
"""Outputs and targets together: 16 MiB in float32."""


class Block:
    """Rows that keep no batch alive (`Rows.without_inputs`), until there are enough of them."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self._rows = self._numbers = 0

    def fits(self, rows: Rows) -> bool:
        """Whether these rows can join: all of one kind, and not too many."""
        full = self._rows >= ROWS_PER_BLOCK or self._numbers >= NUMBERS_PER_BLOCK
        return not self._parts or (not full and self._parts[-1].kind == rows.kind)

    def add(self, rows: Rows) -> None:
        """Take in the rows of one batch."""
        self._rows += rows.n
        self._numbers += rows.logits().numel() + (0 if rows.target is None else rows.target.numel())
        self._parts.append(rows)

    def take(self) -> Rows | None:
        """All rows, in ordinary tensors, as if they had come in one batch; the block is empty then."""
        parts, self._parts, self._rows, self._numbers = self._parts, [], 0, 0
        return _together(parts) if parts else None


def _together(parts: list[Rows]) -> Rows:
    first = parts[0]
    return Rows(
        batch=None,
        n=sum(part.n for part in parts),
        ids=torch.cat([part.ids for part in parts]),
        identified=first.identified,
        positions=None if first.positions is None else _joined([part.positions for part in parts]),
        given=None,
        target=None if first.target is None else _joined([part.target for part in parts]),
        label=lambda: {name: list(chain.from_iterable(p.groups[name] for p in parts)) for name in first.groups},
        predict=Known(torch.cat([part.logits() for part in parts])),
    )


def _joined(tensors: list[Tensor | None]) -> Tensor:
    return torch.cat(cast(list[Tensor], tensors))
