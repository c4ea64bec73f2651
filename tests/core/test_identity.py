"""Which row is which, on any number of processes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset, RandomSampler, TensorDataset

from safeguards.core.identity import Places, hash_ids, mix
from safeguards.core.ranks import Ranks

N = 57
DATA = TensorDataset(torch.arange(N))


def splitmix_reference(value: int) -> int:
    mask = 2**64 - 1
    value = (value + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5), st.integers(0, 2**31))
def test_mix_is_splitmix64_over_value_plus_hashed_seed(values: list[int], seed: int) -> None:
    mixed = mix(torch.tensor(values, dtype=torch.int64), seed).numpy().view(np.uint64).tolist()
    assert mixed == [splitmix_reference((value + splitmix_reference(seed)) % 2**64) for value in values]


def test_mix_is_a_bijection_on_a_range() -> None:
    assert len(set(mix(torch.arange(10_000)).tolist())) == 10_000


def test_ids() -> None:
    assert hash_ids([3, -1]).tolist() == [3, -1]
    words = hash_ids(["a", "b", "a"]).tolist()
    assert words[0] == words[2] != words[1]


@pytest.mark.parametrize("label", [0, 2**63 - 1, -(2**63), "a", 2.5, None, np.int32(7), np.str_("a")])
def test_an_id_is_the_same_whatever_else_its_batch_holds(label: object) -> None:
    alone, _ = hash_ids([label, 1]).tolist()
    assert hash_ids([label, "b"]).tolist()[0] == hash_ids([2**64, label]).tolist()[1] == alone


def test_ids_of_unsigned_64_bits_are_told_apart() -> None:
    ids = [2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]
    assert len(set(hash_ids(ids).tolist())) == 4
    assert hash_ids(ids)[0] == 2**63 - 1
    assert hash_ids(np.array(ids, dtype=np.uint64)).tolist() == hash_ids(ids).tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("shuffle", [False, True])
def test_distributed_sampler_yields_every_row_once_without_copies(world: int, shuffle: bool) -> None:
    kept: list[int] = []
    for rank in range(world):
        sampler: DistributedSampler[int] = DistributedSampler(DATA, world, rank, shuffle=shuffle, seed=3)
        loader = DataLoader(DATA, batch_size=4, sampler=sampler)
        places = Places.of(loader, Ranks(rank=rank, world=world))
        assert places.rows is not None
        assert places.copies is not None
        assert places.rows.tolist() == torch.cat([batch[0] for batch in loader]).tolist()
        kept += places.rows[~places.copies].tolist()
    assert sorted(kept) == list(range(N))


def test_unshuffled_rows_follow_the_rule() -> None:
    loader = DataLoader(DATA, sampler=DistributedSampler(DATA, 8, 5, shuffle=False))
    rows, copies = Places.of(loader, Ranks(rank=5, world=8)).slice(6, 2)
    assert rows is not None
    assert copies is not None
    assert rows.tolist() == [5 + 6 * 8, (5 + 7 * 8) % N]
    assert copies.tolist() == [False, True]


def test_a_sampler_with_an_order_of_its_own_is_not_asked() -> None:
    class Own(DistributedSampler[int]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            raise AssertionError("drawn")

    assert Places.of(DataLoader(DATA, sampler=Own(DATA, 2, 0)), Ranks(rank=0, world=2)).rows is None


class Stream(IterableDataset[int]):
    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(range(5))


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(DATA, shuffle=True),
        DataLoader(Stream()),
        DataLoader(DATA, batch_sampler=type("Own", (BatchSampler,), {})(RandomSampler(DATA), 4, False)),
        [1, 2, 3],
    ],
)
def test_unknown_order_is_said(loader: object) -> None:
    assert Places.of(loader, Ranks()).rows is None


def test_whole_set_on_each_of_two_ranks_has_no_identity() -> None:
    assert Places.of(DataLoader(DATA), Ranks(rank=0, world=2)).rows is None
    assert Places.of(DataLoader(DATA), Ranks()).rows is not None
