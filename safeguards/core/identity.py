"""Row identity: what tells a padded copy from a row, and makes a bounded sample the same on any number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from safeguards.core.ranks import Ranks

__all__ = ["Places", "hash_ids", "mix"]

Words = npt.NDArray[np.uint64]
STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(values: Tensor, seed: int = 0) -> Tensor:
    """A bijective hash of int64 values: SplitMix64 (Steele, Lea and Flood 2014) over value plus hashed seed."""
    state = values.cpu().numpy().astype(np.int64, copy=False).view(np.uint64) + _salt(seed)
    return torch.from_numpy(_scrambled(state).view(np.int64))


@lru_cache
def _salt(seed: int) -> Words:
    """The hashed seed, and the step that SplitMix64 adds to each value."""
    return _scrambled(np.array([seed], dtype=np.int64).view(np.uint64) + STEP) + STEP


def _scrambled(state: Words) -> Words:
    """In place, because memory for every step of many values takes longer than the steps."""
    shifted = state >> np.uint64(30)
    for factor, shift in ((0xBF58476D1CE4E5B9, 27), (0x94D049BB133111EB, 31)):
        state ^= shifted
        state *= np.uint64(factor)
        np.right_shift(state, np.uint64(shift), out=shifted)
    state ^= shifted
    return state


def hash_ids(labels: Sequence[Any]) -> Tensor:
    """int64 identities of row ids: whole numbers of 64 bits as they are, anything else by a digest of its text.

    A row has the same identity whatever the other rows of its batch are.
    """
    return torch.tensor([_identity(label) for label in labels], dtype=torch.int64)


def _identity(label: Any) -> int:
    if isinstance(label, (int, np.integer)) and -(2**63) <= label < 2**63:
        return int(label)
    text = repr(label.item() if isinstance(label, np.generic) else label)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


class Places:
    """Which rows of the data set one rank's loader yields, in order.

    ``rows`` is int64: dataset positions; None when the loader's order cannot be known: shuffled without a seed,
    iterable data, or a batch sampler of the user's own. ``copies`` marks those that a `DistributedSampler` added so
    that all ranks get equally many; None where there are none.
    """

    def __init__(
        self, *, rows: Tensor | None, copies: Tensor | None, size: int | None, batch_size: int | None = None
    ) -> None:
        self.rows, self.copies, self.size, self.batch_size = rows, copies, size, batch_size

    @classmethod
    def of(cls, loader: Any, ranks: Ranks) -> Places:
        """Read a loader's order from its sampler, without drawing from it."""
        size = _size(loader)
        if size is None or type(getattr(loader, "batch_sampler", None)) is not torch.utils.data.BatchSampler:
            return cls(rows=None, copies=None, size=size)
        sampler, batch = loader.batch_sampler.sampler, loader.batch_sampler.batch_size
        if _plainly(torch.utils.data.SequentialSampler, sampler) and ranks.world == 1 and len(sampler) == size:
            return cls(rows=torch.arange(size), copies=None, size=size, batch_size=batch)
        if _plainly(torch.utils.data.DistributedSampler, sampler) and sampler.num_replicas == ranks.world:
            return cls._of_distributed(sampler, size, batch)
        return cls(rows=None, copies=None, size=size)

    @classmethod
    def _of_distributed(cls, sampler: torch.utils.data.DistributedSampler[Any], size: int, batch: int) -> Places:
        rows = torch.tensor(list(iter(sampler)), dtype=torch.int64)
        places = torch.arange(sampler.rank, sampler.rank + len(rows) * sampler.num_replicas, sampler.num_replicas)
        return cls(rows=rows, copies=places >= size, size=size, batch_size=batch)

    def expected(self, start: int, batches: int = 1) -> int | None:
        """How many rows so many batches from local row ``start`` must have; None where the order is not known."""
        if self.rows is None or self.batch_size is None:
            return None
        return min(batches * self.batch_size, self.rows.numel() - start)

    def slice(self, start: int, count: int) -> tuple[Tensor | None, Tensor | None]:
        """Positions of ``count`` local rows from local row ``start``, and which of them are copies."""
        rows, copies = (None if all_ is None else all_[start : start + count] for all_ in (self.rows, self.copies))
        return rows, copies


def _plainly(kind: type[Any], sampler: Any) -> bool:
    """A subclass may have an order of its own, and draw random numbers when it is asked for it."""
    return isinstance(sampler, kind) and type(sampler).__iter__ is kind.__iter__


def _size(loader: Any) -> int | None:
    dataset = getattr(loader, "dataset", None)
    if dataset is None or isinstance(dataset, torch.utils.data.IterableDataset):
        return None
    try:
        return len(dataset)
    except TypeError:
        return None
