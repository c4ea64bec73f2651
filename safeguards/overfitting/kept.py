"""Training rows are the same at every look, so they are read once in a fit, as far as memory for them is small."""

from __future__ import annotations

from collections.abc import Sequence
from sys import getsizeof
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from safeguards.core.batch import PLAIN
from safeguards.core.training_rows import read_batch

__all__ = ["KeptBatches"]

MOST_BYTES = 2**26


class KeptBatches:
    """Batches of the loader that trains; what is handed out is a copy, so that a model may work on it in place.

    A data set may change while it is trained on, as with labels that are corrected: `has_changed` tells by some rows.
    """

    def __init__(self) -> None:
        self.forget()
        self._some_rows: Any = None

    def forget(self) -> None:
        """Read all of them anew."""
        self._of: ref[DataLoader[Any]] | None = None
        self._batches: dict[tuple[int, ...], Any] = {}
        self._bytes = 0

    def has_changed(self, loader: DataLoader[Any], positions: Sequence[int], seed: int) -> bool:
        """Whether the set gives these rows otherwise than when this was last asked. Raises nothing."""
        before = self._some_rows
        try:
            self._some_rows = _copied(read_batch(loader, positions, seed))
            return not _same(self._some_rows, before)
        except Exception:  # as where a row is no longer there: what is asked for may be
            self._some_rows = None
            return True

    def read(self, loader: DataLoader[Any], positions: Sequence[int], seed: int) -> Any:
        """As `read_batch`."""
        at = tuple(positions)
        if self._of is None or self._of() is not loader:
            self.forget()
            self._of = ref(loader)
        if at in self._batches:
            return _copied(self._batches[at])
        batch = read_batch(loader, positions, seed)
        self._keep(at, batch)
        return batch

    def _keep(self, at: tuple[int, ...], batch: Any) -> None:
        try:
            size = _bytes(batch)
        except TypeError:
            return
        if self._bytes + size <= MOST_BYTES:
            self._bytes += size
            self._batches[at] = _copied(batch)


def _bytes(tree: Any) -> int:
    """Raises ``TypeError`` for anything of which it is not known how to copy it."""
    if type(tree) is Tensor and tree.layout is torch.strided and not tree.is_nested:
        return tree.nbytes
    if type(tree) is dict:
        return sum(map(_bytes, tree.values()))
    if type(tree) in (list, tuple):
        return sum(map(_bytes, tree))
    if isinstance(tree, PLAIN):
        return getsizeof(tree)
    raise TypeError(type(tree).__name__)


def _copied(tree: Any) -> Any:
    if type(tree) is Tensor:
        return tree.clone()
    if type(tree) is dict:
        return {key: _copied(value) for key, value in tree.items()}
    if type(tree) in (list, tuple) and not _plain(tree):
        return type(tree)(map(_copied, tree))
    return tree[:] if type(tree) is list else tree


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if type(one) is Tensor:
        return torch.equal(one, other)
    if type(one) is dict:
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _plain(values: Sequence[Any]) -> bool:
    return all(isinstance(value, PLAIN) for value in values)
