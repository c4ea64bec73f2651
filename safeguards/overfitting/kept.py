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

    A data set may change while it is trained on, as with labels that are corrected: `has_changed` reads some again.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Read all of them anew."""
        self._of: ref[DataLoader[Any]] | None = None
        self._batches: dict[tuple[int, ...], Any] = {}
        self._places: dict[int, tuple[tuple[int, ...], int]] = {}
        self._bytes = 0

    def has_changed(self, loader: DataLoader[Any], positions: Sequence[int], seed: int) -> bool:
        """Whether the set gives a row of these otherwise than it is kept. Raises nothing.

        So it is too where a row depends on those beside it, as where it is padded to the longest of its batch.
        """
        kept = [position for position in positions if position in self._places] if self._is_of(loader) else []
        if not kept:
            return False
        try:
            return not self._are_kept(kept, read_batch(loader, kept, seed))
        except Exception:  # as where a row is no longer there: what is asked for may be
            return True

    def read(self, loader: DataLoader[Any], positions: Sequence[int], seed: int) -> Any:
        """As `read_batch`."""
        at = tuple(positions)
        if not self._is_of(loader):
            self.forget()
            self._of = ref(loader)
        if at in self._batches:
            return _copied(self._batches[at])
        batch = read_batch(loader, positions, seed)
        self._keep(at, batch)
        return batch

    def _is_of(self, loader: DataLoader[Any]) -> bool:
        return self._of is not None and self._of() is loader

    def _are_kept(self, positions: Sequence[int], again: Any) -> bool:
        """Batch by batch: to ask row by row what kind of column each is costs more than to read them."""
        pairs: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for there, position in enumerate(positions):
            at, here = self._places[position]
            pairs.setdefault(at, []).append((here, there))
        return all(_same_rows(self._batches[at], again, some) for at, some in pairs.items())

    def _keep(self, at: tuple[int, ...], batch: Any) -> None:
        try:
            size = _bytes(batch)
        except TypeError:
            return
        if self._bytes + size <= MOST_BYTES:
            self._bytes += size
            self._batches[at] = _copied(batch)
            for place, position in enumerate(at):
                self._places.setdefault(position, (at, place))  # a row in two batches is asked for as it was kept first


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


def _same_rows(one: Any, other: Any, places: Sequence[tuple[int, int]]) -> bool:
    """Whether rows of one batch are those of another. Raises ``IndexError`` where there are not as many."""
    if type(one) is not type(other):
        return False
    if type(one) is Tensor and one.ndim and other.ndim:
        here, there = torch.tensor(places).T
        return _same_numbers(one[here], other[there])
    if type(one) is dict:
        return one.keys() == other.keys() and all(_same_rows(one[key], other[key], places) for key in one)
    if type(one) in (list, tuple) and _plain(one):
        return all(one[here] == other[there] for here, there in places)
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(_same_rows(a, b, places) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _same_numbers(one: Tensor, other: Tensor) -> bool:
    """To the last bit, but that NaN is NaN: a gap in a table is no change."""
    same = one.shape == other.shape and one.dtype == other.dtype
    return same and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _plain(values: Sequence[Any]) -> bool:
    return all(issubclass(kind, PLAIN) for kind in set(map(type, values)))
