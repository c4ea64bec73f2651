"""Training rows are the same at every look, so they are read once in a fit, as far as memory for them is small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

from torch import Tensor
from torch.utils.data import DataLoader

from safeguards.core.batch import PLAIN
from safeguards.core.training_rows import read_batch

__all__ = ["KeptBatches"]

MOST_BYTES = 2**26


class KeptBatches:
    """Batches of the loader that trains; what is handed out is a copy, so that a model may work on it in place."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Read all of them anew."""
        self._of: ref[DataLoader[Any]] | None = None
        self._batches: dict[tuple[int, ...], Any] = {}
        self._bytes = 0

    def read(self, loader: DataLoader[Any], positions: Sequence[int], seed: int) -> Any:
        """As `read_batch`."""
        if self._of is None or self._of() is not loader:
            self.forget()
            self._of = ref(loader)
        at = tuple(positions)
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
    """Of the tensors. Raises ``TypeError`` for anything of which it is not known how to copy it."""
    if type(tree) is Tensor:
        return tree.nbytes
    if type(tree) is dict:
        return sum(map(_bytes, tree.values()))
    if type(tree) in (list, tuple):
        return sum(map(_bytes, tree))
    if isinstance(tree, PLAIN):
        return 0
    raise TypeError(type(tree).__name__)


def _copied(tree: Any) -> Any:
    if type(tree) is Tensor:
        return tree.clone()
    if type(tree) is dict:
        return {key: _copied(value) for key, value in tree.items()}
    if type(tree) in (list, tuple) and not _plain(tree):
        return type(tree)(map(_copied, tree))
    return tree[:] if type(tree) is list else tree


def _plain(values: Sequence[Any]) -> bool:
    return all(isinstance(value, PLAIN) for value in values)
