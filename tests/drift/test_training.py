"""How the places of the training rows are dealt out to processes, and how their rows come together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from safeguards import DriftReport
from safeguards.core.verdict import Outcome
from safeguards.drift import training
from safeguards.drift.training import ReadRows, _in_order, _shares
from tests.drift.test_guard import FIELDS, LIMITS, Net, Tables, fitted, last, rows, standings, trainer


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_rows_of_all_processes_come_in_the_order_of_one(world: int) -> None:
    rows = torch.arange(10.0).reshape(5, 2)
    assert torch.equal(_in_order([rows[rank::world] for rank in range(world)]), rows)


def test_a_process_without_rows_left_takes_the_first_once_more() -> None:
    chosen = [10, 11, 12, 13, 14]
    assert list(_shares(chosen[0::2], chosen, 2, batch=2)) == [[10, 12], [14]]
    assert list(_shares(chosen[1::2], chosen, 2, batch=2)) == [[11, 13], [10]]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [1, 2, 64])
def test_every_process_makes_equally_many_forwards(world: int, batch: int) -> None:
    chosen = list(range(5))
    each = [list(_shares(chosen[rank::world], chosen, world, batch)) for rank in range(world)]
    assert len({len(shares) for shares in each}) == 1
    assert all(all(shares) for shares in each)


def test_training_rows_come_as_the_step_gets_them(tmp_path: Path) -> None:
    """A hook that scales every batch on its way to the device moves both sides alike."""

    class Scales(Net):
        def on_before_batch_transfer(self, batch: Any, _: int) -> Any:
            return [5 * batch[0] + 1, batch[1]]

    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False)
    assert set(standings(fitted(tmp_path, guard, rows(0), rows(0), Scales(4))).values()) == {"stable"}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(rows(0))


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (DataLoader(Stream(), batch_size=64), "Stream has no rows to choose from, only a stream: give it __len__"),
        ({"a": DataLoader(rows(0), batch_size=64)}, "trains on a dict: let train_dataloader() return one"),
    ],
)
def test_training_rows_that_cannot_be_chosen_are_an_error_with_the_remedy(
    tmp_path: Path, train: Any, words: str
) -> None:
    class FirstOfSeveral(Net):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return super().training_step(batch["a"] if isinstance(batch, dict) else batch, index)

    run = trainer(tmp_path, DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False))
    run.fit(FirstOfSeveral(4), train, DataLoader(rows(0), batch_size=256))
    found = last(run)
    assert found.outcome is Outcome.ERROR
    assert words in found.reason
    assert "or compare with a table: DriftReport(reference=PATH, columns=NAMES)" in found.reason


def test_a_table_is_proposed_only_where_it_helps(tmp_path: Path) -> None:
    class Streamed(Tables):
        def train_dataloader(self) -> Any:
            return DataLoader(Stream(), batch_size=64)

    class Images(Net):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return super().training_step([batch[0].reshape(-1, 1, 2, 2), batch[1]], index)

    in_table, images = (DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False) for _ in range(2))
    run = trainer(tmp_path, in_table)
    run.fit(Net(4), datamodule=Streamed())
    assert "predictions are not compared: the training set Stream has no rows to choose from" in last(run).reason
    assert "compare with a table" not in last(run).reason
    run = trainer(tmp_path, images)
    run.fit(Images(4), DataLoader(Stream(), batch_size=64), DataLoader(rows(0, shape=(1, 2, 2)), batch_size=256))
    assert last(run).outcome is Outcome.ERROR
    assert last(run).reason.endswith("only a stream: give it __len__ and __getitem__")


class Counted(TensorDataset):
    reads = 0

    def __getitem__(self, i: Any) -> Any:
        self.reads += 1
        return super().__getitem__(i)


def test_training_rows_are_read_once_in_a_fit_and_anew_in_the_next(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False, sample=60)
    counted = Counted(*rows(0, n=80).tensors)
    loaders = DataLoader(counted, batch_size=16), DataLoader(rows(1, n=80), batch_size=16)
    for fits in (1, 2):
        trainer(tmp_path, guard, max_epochs=3).fit(Net(4), *loaders)
        assert counted.reads == fits * (3 * 80 + 60)


def test_only_tensors_that_take_little_memory_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MOST_KEPT", 100)
    read, asked = ReadRows(), list[int]()

    def give(place: int, inputs: Any) -> Any:
        return read.get([place], lambda: asked.append(place) or inputs)  # type: ignore[func-returns-value]

    for place, inputs in (
        (0, torch.zeros(20)),
        (1, torch.zeros(6)),
        (2, {"x": torch.zeros(1)}),
        (3, torch.zeros(5)),
    ) * 2:
        give(place, inputs)
    assert asked == [0, 1, 2, 3, 1, 2]


def test_a_model_that_works_in_place_is_asked_about_the_same_rows_again() -> None:
    read = ReadRows()
    for _ in range(3):
        found = read.get([1, 2], lambda: torch.ones(2, 3))
        assert torch.equal(found, torch.ones(2, 3))
        found.add_(1)


def test_rows_of_another_loader_are_read_anew() -> None:
    read, loaders = ReadRows(), [DataLoader(rows(0)), DataLoader(rows(0))]
    for loader, value in zip((*loaders, loaders[1]), (1.0, 2.0, 3.0), strict=True):
        read.belong_to(loader)
        assert float(read.get([0], lambda value=value: torch.tensor(value))) == min(value, 2.0)
