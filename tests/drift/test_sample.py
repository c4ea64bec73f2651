"""A sample in arrays keeps the rows that the core's sample keeps, whatever the batches and the number of processes."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards.core.ranks import Ranks
from safeguards.core.rows import Sample
from safeguards.drift.sample import RowSample


class Together(Ranks):
    """One of several ranks whose gathers are known beforehand."""

    def __init__(self, rank: int, held: list[Any]) -> None:
        super().__init__(rank=rank, world=len(held))
        self.held = held

    def gather(self, item: Any) -> list[Any]:
        return self.held


def shares(ids: list[int], world: int, batch: int) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Batches of (identity, row number) for each rank."""
    pairs = torch.tensor(ids), torch.arange(len(ids), dtype=torch.float32)
    mine = [[each[rank::world] for each in pairs] for rank in range(world)]
    return [list(zip(*(each.split(batch) for each in own), strict=True)) for own in mine]


@settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(st.integers(0, 40), min_size=1, max_size=80),
    k=st.integers(1, 50),
    world=st.integers(1, 3),
    batch=st.integers(1, 17),
)
def test_the_rows_are_those_of_the_other_sample(ids: list[int], k: int, world: int, batch: int) -> None:
    ours, theirs = [RowSample(k=k, seed=3) for _ in range(world)], [Sample[Any](k=k, seed=3) for _ in range(world)]
    for one, other, batches in zip(ours, theirs, shares(ids, world, batch), strict=True):
        for identities, rows in batches:
            one.offer(identities, lambda places, rows=rows: rows[places, None])
            other.offer(identities, rows)
    alone = world == 1
    for one in ours:
        one.settle(Ranks())
    held = [one._parts[0][0].numpy() if one._parts else torch.empty(0).long().numpy() for one in ours]
    orders = [[order for order, *_ in other._kept] for other in theirs]
    for rank, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        found, values = one.settle(Ranks() if alone else Together(rank, held))
        expected = other.settle(Ranks() if alone else Together(rank, orders))
        assert list(zip(found.tolist(), values.flatten().tolist(), strict=True)) == [(i, float(v)) for i, v in expected]


def test_a_row_that_cannot_stay_is_not_read() -> None:
    sample, read = RowSample(k=10), list[int]()

    def values(places: torch.Tensor) -> torch.Tensor:
        read.append(len(places))
        return torch.zeros(len(places), 1)

    for start in range(0, 10_000, 100):
        sample.offer(torch.arange(start, start + 100), values)
    assert sum(read) < 400
    assert len(sample.settle(Ranks())[0]) == 10
    assert RowSample(k=10).settle(Ranks())[0].tolist() == []
