"""Whether the workers of a loader all give the same rows, as with a stream that nobody splits between them.

Each worker has a copy of an iterable data set, and a loader deals out their batches in turns: without a split every row
comes once per worker, is counted as often, and intervals are too narrow. Rows are told by a digest of ``row_id``,
inputs and target: two that share an id by design differ in the others. Of all rows those with the smallest hashes are
counted, worker by worker, so that memory does not grow and any order will do: where nothing is split, each is given
equally often by every worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from safeguards.core.batch import PLAIN, BatchFields, rows_of, select
from safeguards.core.identity import mix
from safeguards.core.rows import hashed

__all__ = ["Repeats", "repeated"]

MOST_COUNTED = 1024
NUMBERS_READ = 2**14
"""At most, of a field of a row, evenly spread: they tell one large image from another."""
FEWEST = 20
"""Were each row that comes from every worker one that merely looks like another, each had a chance of at most a half to
come from the other worker: all of so many have one in a million.
"""


class Repeats:
    """How often each of ``workers`` gave a bounded sample of the rows of one loader; with fewer than two, nothing."""

    def __init__(self, fields: BatchFields | None = None, workers: int = 0) -> None:
        self.fields, self.workers = fields, workers
        self._turn: list[Tensor] = []
        self._counts: dict[int, list[int]] = {}
        self._bound = torch.iinfo(torch.int64).max

    @classmethod
    def of(cls, loader: Any, fields: BatchFields | None) -> Repeats:
        """Where workers may give the same rows: with an iterable data set whose batches come in turns."""
        streams = isinstance(getattr(loader, "dataset", None), IterableDataset) and getattr(loader, "in_order", True)
        return cls(fields, int(getattr(loader, "num_workers", 0)) if streams else 0)

    @property
    def looks(self) -> bool:
        """Whether batches are to be noted."""
        return self.fields is not None and self.workers > 1

    def note(self, batch: Any) -> None:
        """Local: one batch, in the order of the loader. What cannot be read is an error of who reads the rows."""
        if not self.looks:
            return
        try:
            self._turn.append(mix(_keys(batch, self.fields)))  # type: ignore[arg-type]
        except Exception:  # a function of the user's may raise anything; what it says is told where rows are read
            self.workers = 0
            return
        if len(self._turn) == self.workers:
            self._count()

    def _count(self) -> None:
        """A turn is whole. One that the end of the stream breaks off is not counted: a worker may still be due."""
        for worker, keys in enumerate(self._turn):
            for key in keys[keys <= self._bound].tolist():
                self._counts.setdefault(key, [0] * self.workers)[worker] += 1
        self._turn.clear()
        if len(self._counts) > MOST_COUNTED:
            kept = sorted(self._counts)[:MOST_COUNTED]
            self._counts = {key: self._counts[key] for key in kept}
            self._bound = kept[-1]

    def told(self) -> list[int]:
        """To be summed over ranks: rows that came once from every worker, from several, twice from one, unequally."""
        counts = np.array(list(self._counts.values()), dtype=np.int64).reshape(-1, max(1, self.workers))
        if not len(counts) or self.workers < 2:
            return [0, 0, 0, 0]
        found = (counts == 1).all(1), (counts > 0).sum(1) > 1, (counts > 1).any(1), np.ptp(counts, 1) > 0
        return [int(each.sum()) for each in found]


def repeated(told: Sequence[int], *, by_id: bool) -> str | None:
    """What to say where the workers give the same rows, from `Repeats.told` of all ranks; None where they do not.

    ``by_id``: rows have an id of their own, and one that comes from several workers, never twice from one, is proof
    even in a stream that is cut short.
    """
    once, several, twice, unequal = told
    all_alike = once >= FEWEST and not unequal
    if not all_alike and not (by_id and several >= FEWEST and not twice):
        return None
    return (
        "the workers of the loader give the same rows, so that a row is counted once per worker: split the stream "
        "between them by torch.utils.data.get_worker_info(), or set num_workers to at most 1; rows that are not the "
        "same need a row_id of their own"
    )


def _keys(batch: Any, fields: BatchFields) -> Tensor:
    """One int64 per row (N,), equal for rows that are the same. Raises ``TypeError`` for what cannot be compared."""
    asked = {"inputs": fields.inputs, "target": fields.target, "row_id": fields.row_id}
    found = {name: select(batch, where, name) for name, where in asked.items() if where is not None}
    n = rows_of(found["inputs"], "inputs")
    if n == 0:
        return torch.empty(0, dtype=torch.int64)
    if "row_id" in found:
        found["row_id"] = hashed(found["row_id"])
    table = np.concatenate([_bytes(each, n) for each in _columns(list(found.values()), n)], axis=1)
    digests = [blake2b(row, digest_size=8).digest() for row in table]
    return torch.from_numpy(np.frombuffer(b"".join(digests), dtype=np.int64).copy())


def _columns(tree: Any, n: int) -> Iterator[Tensor]:
    """Tensors, and lists of a plain value for each of ``n`` rows."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)) and len(tree) == n and all(isinstance(value, PLAIN) for value in tree):
        yield hashed(tree)
    elif isinstance(tree, (Mapping, list, tuple)):
        for part in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _columns(part, n)
    elif tree is not None:
        raise TypeError(type(tree).__name__)


def _bytes(field: Tensor, n: int) -> np.ndarray[Any, Any]:
    """(N, bytes)."""
    numbers = field.detach().reshape(n, -1)
    numbers = numbers[:, :: 1 + numbers.shape[1] // NUMBERS_READ]
    return numbers.cpu().contiguous().view(torch.uint8).numpy()
