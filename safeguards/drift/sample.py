"""A bounded sample of rows of numbers, held in arrays: a row costs no object of its own, one that cannot stay nothing.

N rows are offered, F columns each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from safeguards.core.identity import mix

if TYPE_CHECKING:
    from safeguards.core.ranks import Ranks

__all__ = ["RowSample"]

LAST = torch.iinfo(torch.int64).max


class RowSample:
    """At most ``k`` rows: the very ones that `safeguards.core.rows.Sample` keeps."""

    def __init__(self, *, k: int, seed: int = 0) -> None:
        self.k, self.seed = k, seed
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._held, self._worst = 0, LAST

    def offer(self, ids: Tensor, values: Callable[[Tensor], Tensor]) -> None:
        """Local: consider rows of int64 identities (N,); ``values`` gives (n, F) of the n of them that may stay."""
        order = mix(ids, self.seed)
        places = torch.nonzero(order <= self._worst).flatten()
        if not len(places):
            return
        self._parts.append((order[places], ids[places], values(places)))
        self._held += len(places)
        if self._held >= 2 * self.k:
            self._thin()

    def _thin(self) -> None:
        """Keep the k best, in the order of their hashes and then of their arrival."""
        order, ids, values = (torch.cat(columns) for columns in zip(*self._parts, strict=True))
        best = order.sort(stable=True).indices[: self.k]
        self._parts, self._held = [(order[best], ids[best], values[best])], len(best)
        self._worst = int(order[best[-1]]) if len(best) == self.k else LAST

    def settle(self, ranks: Ranks) -> tuple[Tensor, Tensor]:
        """All ranks: identities (n,) and values (n, F) of this rank's part of the global sample, ordered by hash."""
        if self._parts:
            self._thin()
        order, ids, values = self._parts[0] if self._parts else (*torch.empty(2, 0, dtype=torch.int64), torch.empty(0))
        if ranks.world > 1:
            stays = self._chosen(ranks.gather(order.numpy()), ranks.rank)
            ids, values = ids[stays], values[stays]
        return ids, values

    def _chosen(self, orders: list[np.ndarray[tuple[int], np.dtype[np.int64]]], rank: int) -> Tensor:
        """Which of this rank's rows are among the k best of all; of equal hashes those of the lower rank are better."""
        best = np.argsort(np.concatenate(orders), kind="stable")[: self.k]
        start = sum(map(len, orders[:rank]))
        return torch.from_numpy(np.sort(best[(best >= start) & (best < start + len(orders[rank]))]) - start)
