"""Which training rows are read, and that reading them leaves no trace."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from safeguards.core.errors import NotApplicable
from safeguards.core.identity import mix
from safeguards.core.training_rows import choose, drawn_from, generators_kept, read_batch

HUNDRED = TensorDataset(torch.arange(100.0))


@given(size=st.integers(0, 2000), rows=st.integers(0, 300), seed=st.integers(0, 9))
def test_a_choice_has_the_size_asked_for_no_repeats_and_is_always_the_same(size: int, rows: int, seed: int) -> None:
    chosen = choose(size, rows, seed)
    assert len(chosen) == len(set(chosen)) == min(size, rows)
    assert all(0 <= position < size for position in chosen)
    assert choose(size, rows, seed) == chosen


def test_fewer_rows_are_a_part_of_more_and_another_seed_takes_others() -> None:
    assert choose(10_000, 50, 3) == choose(10_000, 200, 3)[:50]
    assert len(set(choose(10_000, 200, 3)) & set(choose(10_000, 200, 4))) < 20


def test_the_choice_is_spread_evenly() -> None:
    """1000 of a million in ten equal parts: each part expects 100 with a standard deviation of 9.5."""
    counts = np.histogram(choose(1_000_000, 1000, 0), bins=10, range=(0, 1_000_000))[0]
    assert all(60 <= count <= 140 for count in counts)


@pytest.mark.parametrize(
    ("loader", "positions"),
    [
        (DataLoader(HUNDRED, 8), range(100)),
        (DataLoader(HUNDRED, 8, shuffle=True), range(100)),
        (DataLoader(HUNDRED, 8, sampler=RandomSampler(range(40))), range(40)),
        (DataLoader(HUNDRED, 8, sampler=SubsetRandomSampler([5, 7, 9])), [5, 7, 9]),
        (DataLoader(HUNDRED, 8, sampler=WeightedRandomSampler([0, 1, 0, 2], 10)), [1, 3]),
        (DataLoader(HUNDRED, 8, sampler=DistributedSampler(HUNDRED, 2, 0)), range(100)),
        (DataLoader(HUNDRED, batch_sampler=BatchSampler(SubsetRandomSampler([5, 7]), 2, False)), [5, 7]),
        (DataLoader(Subset(HUNDRED, [3, 4]), 8), range(2)),
    ],
)
def test_positions_are_those_that_the_sampler_can_draw(loader: DataLoader, positions: Any) -> None:
    assert list(drawn_from(loader)) == list(positions)


def test_lightnings_wrapper_around_a_sampler_is_seen_through() -> None:
    from lightning_fabric.utilities.distributed import DistributedSamplerWrapper

    wrapped = DistributedSamplerWrapper(SubsetRandomSampler([5, 7, 9]), num_replicas=2, rank=0)
    assert list(drawn_from(DataLoader(HUNDRED, 8, sampler=wrapped))) == [5, 7, 9]


def test_a_set_without_length_is_refused() -> None:
    class Endless(Dataset):
        def __getitem__(self, index: int) -> int:
            return index

    with pytest.raises(NotApplicable, match="Endless has no rows to choose from"):
        drawn_from(DataLoader(Endless(), 8, sampler=[1, 2]))


class Noisy(Dataset):
    """Augments with every kind of generator: the global ones, and some of its own."""

    def __init__(self) -> None:
        self.own = [np.random.default_rng(1), np.random.RandomState(2), random.Random(3)]
        self.tool = {"torch": torch.Generator().manual_seed(4)}

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> torch.Tensor:
        new, old, python = self.own
        own = new.random() + old.rand() + python.random() + torch.rand(1, generator=self.tool["torch"])
        return index + torch.rand(1) + np.random.rand() + random.random() + 0 * own

    def next_of_each(self) -> list[float]:
        new, old, python = self.own
        return [new.random(), old.rand(), python.random(), torch.rand(1, generator=self.tool["torch"]).item()]


def test_an_augmented_row_is_the_same_in_whatever_company_and_order() -> None:
    loader = DataLoader(Noisy(), 4)
    together = read_batch(loader, [7, 3, 9], seed=0)
    assert together.shape == (3, 1)
    assert torch.equal(read_batch(loader, [3, 11], seed=0)[0], together[1])
    assert not torch.equal(read_batch(loader, [3], seed=1)[0], together[1])


class Sometimes(Dataset):
    """Rows of which some draw a random number, and how often each was read."""

    def __init__(self, *drawing: int) -> None:
        self.drawing, self.read = drawing, [0] * 50

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> torch.Tensor:
        self.read[index] += 1
        noise = torch.rand(()) + np.random.rand() + random.random() if index in self.drawing else 0
        return torch.as_tensor(index + noise, dtype=torch.float64)


def masked(items: list[torch.Tensor]) -> torch.Tensor:
    """A collate function that draws, as those that mask words do."""
    return torch.stack(items) + torch.rand(len(items))


@pytest.mark.parametrize("drawing", [(), (7,), (9,), (3, 9), (3, 7, 9)])
@pytest.mark.parametrize("collate", [torch.stack, masked])
def test_rows_are_those_that_seeding_before_each_gives(drawing: tuple[int, ...], collate: Any) -> None:
    positions, data = [7, 3, 9], Sometimes(*drawing)
    items = []
    for position, seed in zip(positions, (mix(torch.tensor(positions), 5) % 2**32).tolist(), strict=True):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        items.append(data[position])
    expected = collate(items)
    torch.manual_seed(0)
    loader = DataLoader(Sometimes(*drawing), 4, collate_fn=collate)
    assert torch.equal(read_batch(loader, positions, seed=5), expected)


@pytest.mark.parametrize(("drawing", "most"), [((), 1), (range(50), 2)])
def test_rows_that_draw_nothing_are_read_once_and_those_that_draw_are_not_all_read_twice(
    drawing: Any, most: int
) -> None:
    data = Sometimes(*drawing)
    read_batch(DataLoader(data, 4), range(40), seed=0)
    assert data.read == [most] + [1] * 39 + [0] * 10


def test_a_data_set_that_reads_many_rows_at_once_is_asked_to() -> None:
    class Many(Sometimes):
        def __getitems__(self, indices: list[int]) -> list[torch.Tensor]:
            return [torch.tensor(float(index)) for index in indices]

    data = Many()
    assert read_batch(DataLoader(data, 4), [7, 3, 9], seed=0).tolist() == [7, 3, 9]
    assert sum(data.read) == 0


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: Subset(Subset(data, range(50)), range(50))])
def test_generators_of_the_data_set_go_on_as_if_nothing_had_been_read(wrap: Any) -> None:
    untouched, data = Noisy(), Noisy()
    loader = DataLoader(wrap(data), 4)
    with generators_kept(loader.dataset):
        read_batch(loader, [1, 2, 3], seed=0)
    assert data.next_of_each() == untouched.next_of_each()


def test_the_search_for_generators_ends_in_cycles_and_in_large_sets() -> None:
    class Odd(Noisy):
        def __init__(self) -> None:
            super().__init__()
            self.words = {str(i): i for i in range(100_000)}
            self.me, self.package, self.many = self, np, [[i] for i in range(100_000)]

    data = Odd()
    with generators_kept(data):
        data[0]
    assert data.next_of_each() == Noisy().next_of_each()
