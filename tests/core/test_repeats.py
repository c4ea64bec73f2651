"""Workers that all give the same rows of a stream are found; streams that are split, whatever is in them, are not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, get_worker_info

from safeguards import BatchFields, Outcome, verdicts
from safeguards.core import repeats
from safeguards.core.repeats import FEWEST, Repeats, repeated
from tests.helpers.launch import launch
from tests.helpers.toys import PAIR, WITHIN, Accuracy, Net, rows, trainer

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
N = 96
WITH_ID = BatchFields(inputs=0, target=1, row_id=2)
BOTH = {"accuracy": WITHIN, "rows": WITHIN}


class Stream(IterableDataset):
    """Rows in an order of each worker's own where ``shuffled``, split between workers one by one or ``in_blocks``."""

    def __init__(self, *columns: Tensor, split: bool = False, in_blocks: bool = False, shuffled: bool = False) -> None:
        self.rows, self.split, self.in_blocks, self.shuffled = TensorDataset(*columns), split, in_blocks, shuffled

    def __iter__(self) -> Iterator[Any]:
        places, worker = torch.arange(len(self.rows)), get_worker_info()
        if self.split and worker is not None:
            shares = places.chunk(worker.num_workers)
            places = shares[worker.id] if self.in_blocks else places[worker.id :: worker.num_workers]
        if self.shuffled:
            places = places[torch.randperm(len(places))]
        return (self.rows[int(place)] for place in places)


def plain(**options: Any) -> Stream:
    return Stream(*rows(N).tensors, **options)


def named(**options: Any) -> Stream:
    return Stream(*rows(N).tensors, torch.arange(N), **options)


def alike(x: Tensor, **options: Any) -> Stream:
    return Stream(x, (x[:, 0] > 0).long(), split=True, **options)


class AnyColumns(Net):
    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> Any:
        return super().validation_step(batch[:2], 0)


def judged(root: Path, data: Stream, workers: int, fields: BatchFields = PAIR, **options: Any) -> list[Any]:
    job = trainer(root, Accuracy(fields=fields, limits=BOTH), **options)
    job.validate(AnyColumns(), DataLoader(data, 8, num_workers=workers), verbose=False)
    return list(verdicts(job))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_stream_that_nobody_splits_is_inconclusive_with_the_remedy(
    tmp_path: Path, workers: int, shuffled: bool
) -> None:
    found = judged(tmp_path, plain(shuffled=shuffled), workers)
    assert {(v.measure, v.outcome) for v in found} == {(name, Outcome.INCONCLUSIVE) for name in BOTH}
    assert "the workers of the loader give the same rows" in found[0].reason
    assert "get_worker_info" in found[0].reason
    assert "num_workers to at most 1" in found[0].reason


def test_ids_give_it_away_in_a_shuffled_stream_that_is_cut_short(tmp_path: Path) -> None:
    cut = {"limit_val_batches": 12}
    assert {v.outcome for v in judged(tmp_path, named(shuffled=True), 2, WITH_ID, **cut)} == {Outcome.INCONCLUSIVE}
    assert {v.outcome for v in judged(tmp_path, plain(), 2, **cut)} == {Outcome.INCONCLUSIVE}


GRID = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0), torch.arange(2.0), torch.arange(2.0))
PAIRS = rows(N // 2).tensors[0].repeat_interleave(2, 0)
CONSTANT = torch.ones(N, 4), torch.ones(N).long(), torch.arange(N)
SPLIT = {
    "one by one": lambda: (plain(split=True), PAIR),
    "in blocks, shuffled": lambda: (plain(split=True, in_blocks=True, shuffled=True), PAIR),
    "with ids": lambda: (named(split=True), WITH_ID),
    "constant": lambda: (alike(torch.ones(N, 4)), PAIR),
    "few values, each equally often in each worker": lambda: (alike(GRID.repeat_interleave(4, 0)), PAIR),
    "each row twice in a worker": lambda: (alike(PAIRS, in_blocks=True), PAIR),
    "equal rows with ids": lambda: (Stream(*CONSTANT, split=True), WITH_ID),
}


@pytest.mark.parametrize("make", SPLIT.values(), ids=SPLIT)
def test_a_stream_that_is_split_is_judged(tmp_path: Path, make: Any) -> None:
    data, fields = make()
    found = judged(tmp_path, data, 2, fields)
    assert {(v.outcome, v.n) for v in found} == {(Outcome.PASS, N)}


@pytest.mark.parametrize("workers", [0, 1])
def test_one_worker_gives_each_row_once(tmp_path: Path, workers: int) -> None:
    assert {(v.outcome, v.n) for v in judged(tmp_path, plain(), workers)} == {(Outcome.PASS, N)}


def test_workers_of_a_set_with_places_are_not_looked_at() -> None:
    assert not Repeats.of(DataLoader(rows(), num_workers=2), PAIR).looks
    assert not Repeats.of(DataLoader(plain(), num_workers=2, in_order=False), PAIR).looks
    assert Repeats.of(DataLoader(plain(), num_workers=2), PAIR).looks


def noted(streams: list[Tensor], batch: int = 8, fields: BatchFields = WITH_ID) -> Repeats:
    """As the loader deals: batch by batch from the workers in turns."""
    found = Repeats(fields, len(streams))
    for turn in zip(*(stream.split(batch) for stream in streams), strict=False):
        for ids in turn:
            found.note((ids[:, None].float(), torch.zeros(len(ids)), ids))
    return found


def of_patients(streams: list[Tensor]) -> Repeats:
    """The same id at several visits, each with numbers of its own."""
    found, visit = Repeats(WITH_ID, len(streams)), 0
    for turn in zip(*(stream.split(8) for stream in streams), strict=True):
        for ids in turn:
            found.note((visit + torch.arange(len(ids))[:, None], torch.zeros(len(ids)), ids))
            visit += len(ids)
    return found


@pytest.mark.parametrize("told_apart_by", ["a number among many", "a word"])
def test_rows_that_differ_in_little_accuse_nobody(told_apart_by: str) -> None:
    x = torch.randn(60, 3000)
    found = Repeats(PAIR, 2)
    for start in range(0, 60, 10):
        for worker in range(2):
            part = x[start : start + 10].clone()
            part[:, 1] += worker if told_apart_by == "a number among many" else 0
            inputs = {"numbers": part, "word": [f"{told_apart_by == 'a word' and worker}"] * 10}
            found.note((inputs, torch.zeros(10)))
    assert found.told() == [0, 0, 0, 120]


def test_an_empty_batch_ends_nothing_and_what_cannot_be_compared_accuses_nobody() -> None:
    found = Repeats(PAIR, 2)
    for count in (8, 8, 0, 0):
        found.note((torch.arange(count)[:, None], torch.zeros(count)))
    assert found.told() == [8, 8, 0, 0]
    found.note(((torch.zeros(8, 1), object()), torch.zeros(8)))
    assert found.told() == [0, 0, 0, 0]


def test_a_bounded_sample_of_many_rows_has_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST_COUNTED", 50)
    ids = torch.arange(3000)
    found = noted([ids, ids[torch.randperm(3000)], ids.flip(0)])
    assert found.told() == [50, 50, 0, 0]
    assert noted([ids[::3], ids[1::3], ids[2::3]]).told() == [0, 0, 0, 50]


def test_a_turn_that_is_not_whole_is_not_counted() -> None:
    found = noted([torch.arange(40), torch.arange(40)])
    found.note((torch.ones(8, 1), torch.zeros(8), torch.arange(100, 108)))
    assert found.told() == [40, 40, 0, 0]


def test_few_rows_and_rows_with_an_id_of_several_accuse_nobody() -> None:
    few = torch.arange(FEWEST - 1)
    assert repeated(noted([few, few]).told(), by_id=True) is None
    for visits in (2, 3):
        patients = torch.arange(N).repeat_interleave(visits)
        assert repeated(of_patients([patients[::2], patients[1::2]]).told(), by_id=True) is None
    assert repeated([0, FEWEST, 0, 3], by_id=True)
    assert repeated([0, FEWEST, 0, 3], by_id=False) is None
    assert repeated([FEWEST, FEWEST, 0, 1], by_id=False) is None


@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.integers(2, 3), st.booleans())
def test_rows_that_come_again_in_a_split_stream_accuse_nobody(values: list[int], workers: int, in_order: bool) -> None:
    ids = torch.tensor(sorted(values) if in_order else values)
    told = noted([ids[worker::workers] for worker in range(workers)], batch=4, fields=PAIR).told()
    every_row_as_often_as_there_are_workers = set(ids.unique(return_counts=True)[1].tolist()) == {workers}
    assert repeated(told, by_id=False) is None or every_row_as_often_as_there_are_workers


def test_images_are_told_by_some_of_their_numbers_and_odd_batches_by_who_reads_them() -> None:
    images = torch.randn(40, 3, 64, 64).bfloat16()
    found = Repeats(PAIR, 2)
    for batch in (images[:20], images[:20], images[20:], images[20:]):
        found.note(({"pixels": batch, "mask": None}, torch.zeros(20, dtype=torch.bool)))
    assert found.told() == [40, 40, 0, 0]
    found.note("no batch")
    assert not found.looks
    assert found.told() == [0, 0, 0, 0]


def on_ranks(workers: list[int], split: bool) -> list[Any]:
    """Each process streams rows of its own; where they are split it is by worker."""
    rank = int(os.environ["RANK"])
    inputs, target = rows(N).tensors
    own = slice(rank * N // WORLD, (rank + 1) * N // WORLD)
    data = Stream(inputs[own], target[own], torch.arange(N)[own], split=split)
    job = trainer(".", Accuracy(fields=WITH_ID), devices=WORLD, strategy="ddp")
    job.validate(AnyColumns(), DataLoader(data, 8, num_workers=workers[rank]), verbose=False)
    return [(v.outcome.name, v.n, v.reason) for v in verdicts(job)]


@pytest.mark.parametrize(
    ("workers", "split", "answer"),
    [([2, 2], False, "INCONCLUSIVE"), ([2, 0], False, "INCONCLUSIVE"), ([2, 0], True, "PASS")],
)
def test_processes_agree(workers: list[int], split: bool, answer: str) -> None:
    first, second = launch(f"{__file__}:on_ranks", world=2, workers=workers, split=split)
    assert first.value == second.value
    assert [outcome for outcome, *_ in first.value] == [answer]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_safeguards_with_equal_fields_read_and_tell_the_rows_apart_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digested, made, keys = list[Any](), list[Any](), repeats._keys

    class Counts(Net):
        def forward(self, x: Tensor) -> Tensor:
            made.append(len(x))
            return super().forward(x)

    monkeypatch.setattr(repeats, "_keys", lambda batch, fields: digested.append(fields) or keys(batch, fields))
    each = [BatchFields(inputs=0, target=target) for target in (1, 1, lambda batch: batch[1])]
    job = trainer(tmp_path, *(Accuracy(fields=fields, name=f"toy{i}") for i, fields in enumerate(each)))
    job.validate(Counts(), DataLoader(plain(split=True), 8, num_workers=2), verbose=False)
    assert {v.outcome for v in verdicts(job)} == {Outcome.PASS}
    assert len(digested) == 2 * N // 8
    assert sum(made) == 3 * N, "the step's own forward, and one for each way to read"
