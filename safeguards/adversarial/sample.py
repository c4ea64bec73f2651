"""The rows that are attacked: the same whatever the number of processes. Shapes: N rows of this process, ... a row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from safeguards.core.errors import NotApplicable
from safeguards.core.identity import mix
from safeguards.core.ranks import Ranks
from safeguards.core.rows import Rows, Sample

__all__ = ["Chosen", "Item", "offer", "settle"]


Item = tuple[Tensor, Tensor, int]  # inputs (...), class (), place in the set or identity


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Valid rows of this process: ``x`` (N, ...), classes ``y`` (N,), identities ``ids`` (N,).

    The rest is the same on all ranks: rows of the ``largest`` part and in ``total``, places of the ``invalid`` rows,
    and a ``digest`` of the identities of all valid rows.
    """

    x: Tensor
    y: Tensor
    ids: Tensor
    largest: int
    total: int
    invalid: tuple[int, ...]
    digest: str

    def padded(self) -> Chosen:
        """As many rows as the largest part has, the added ones copies of the first: ranks then stay in step."""
        places = torch.arange(self.largest)
        if len(self.x):
            return self._at(torch.where(places < len(self.x), places, 0))
        stand_in = self.x.new_zeros((self.largest, *self.x.shape[1:]))
        return replace(self, x=stand_in, y=self.y.new_zeros(self.largest), ids=self.ids.new_zeros(self.largest))

    def part(self, start: int, stop: int) -> Chosen:
        """Rows from ``start`` up to ``stop``."""
        return self._at(torch.arange(start, min(stop, len(self.x))))

    def everywhere(self, ranks: Ranks, seed: int) -> Chosen:
        """All ranks: the valid rows of all, on all, in the order of their hashes."""
        parts = ranks.gather((self.x.cpu(), self.y.cpu(), self.ids))
        x, y, ids = (torch.cat([part[i] for part in parts]) for i in range(3))
        gathered = replace(self, x=x.to(self.x.device), y=y.to(self.y.device), ids=ids)
        return gathered._at(torch.argsort(mix(ids, seed), stable=True))

    def _at(self, places: Tensor) -> Chosen:
        return replace(self, x=self.x[places], y=self.y[places], ids=self.ids[places])


def offer(sample: Sample[Item], rows: Rows) -> None:
    """Consider the rows of one batch. Raises `NotApplicable` for inputs or targets that no gradient attack can use."""
    if not rows.n:
        return
    x, y = _inputs(rows.inputs), _classes(rows.target)
    places = rows.ids if rows.positions is None else rows.positions
    sample.offer(rows.ids, lambda i: (x[i], y[i], int(places[i])))


def settle(sample: Sample[Item], ranks: Ranks, device: torch.device) -> Chosen:
    """All ranks: the part of the sample that this process attacks. Raises `NotApplicable` when rows differ in shape."""
    kept = [(key, item, bool(item[0].isfinite().all())) for key, item in sample.settle(ranks)]
    valid = [(key, item) for key, item, sound in kept if sound]
    bad = [place for _, (_, _, place), sound in kept if not sound]
    kinds = {(tuple(x.shape), x.dtype) for _, (x, _, _) in valid}
    told = ranks.gather((kinds, [key for key, _ in valid], bad))
    shapes = set().union(*(part[0] for part in told))
    if len(shapes) > 1:
        raise NotApplicable(f"rows differ in shape or type, {sorted(map(str, shapes))}: attacks need rows of one shape")
    shape, dtype = next(iter(shapes), ((), torch.float32))
    empty = torch.empty((0, *shape), dtype=dtype, device=device)
    return Chosen(
        x=torch.stack([x for _, (x, _, _) in valid]) if valid else empty,
        y=torch.stack([y for _, (_, y, _) in valid]) if valid else torch.empty(0, dtype=torch.int64, device=device),
        ids=torch.tensor([key for key, _ in valid], dtype=torch.int64),
        largest=max(len(part[1]) for part in told),
        total=sum(len(part[1]) for part in told),
        invalid=tuple(sorted(place for part in told for place in part[2])),
        digest=_digest(sorted(key for part in told for key in part[1])),
    )


def _inputs(inputs: Any) -> Tensor:
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        kind = f"{inputs.dtype} tensor" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise NotApplicable(
            f"attacks move one floating tensor, the inputs are a {kind}: name it with BatchFields(inputs=)"
        )
    return inputs


def _classes(target: Tensor | None) -> Tensor:
    if target is None or target.ndim != 1:
        kind = "missing" if target is None else f"of shape {tuple(target.shape)}"
        raise NotApplicable(f"attacks need one class per row, the target is {kind}: give BatchFields(target=)")
    classes = target.long()
    if not bool((classes == target).all()):
        raise NotApplicable("attacks need classes 0, 1, ... as target, these are not whole numbers")
    return classes


def _digest(ids: list[int]) -> str:
    return hashlib.blake2b(repr(ids).encode(), digest_size=8).hexdigest()
