"""A model answers on the test rows of the data that a configuration describes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from weakref import ref

import pytest
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from safeguards import BatchFields, ConfigurationError
from safeguards.retraining import DataRefused, asked_of, paths_of
from safeguards.retraining.intake import Delivery, Manifest
from safeguards.retraining.testrows import refuse_incomparable

FIELDS = BatchFields(inputs="x", target="y", row_id="id")


class Rows(LightningDataModule):
    """As many test rows as it is told, of class 1 where x is positive."""

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.count, self.stages = count, list[str | None]()

    def setup(self, stage: str | None = None) -> None:
        assert stage == "test"
        x = torch.linspace(-1, 1, self.count)
        self.rows = [{"x": one[None], "y": int(one > 0), "id": at} for at, one in enumerate(x)]

    def test_dataloader(self) -> DataLoader[object]:
        return DataLoader(self.rows, batch_size=2)  # type: ignore[arg-type]


class Torn(Rows):
    """Does not find in its file what it needs."""

    def setup(self, stage: str | None = None) -> None:
        raise ValueError("the table has no column 'paid'")


class Wrong(Rows):
    """Was configured with what it does not have."""

    def setup(self, stage: str | None = None) -> None:
        raise ConfigurationError("Wrong(count=3): expected 4")


class Batch(dict[str, torch.Tensor]):
    """Tells by a weak reference whether somebody holds it."""


class Stream(Rows):
    """Gives batches as they are asked for, and tells how many of them are held."""

    most = 0

    def setup(self, stage: str | None = None) -> None:
        assert stage == "test"

    def test_dataloader(self) -> Iterator[Batch]:  # type: ignore[override]
        given: list[ref[Batch]] = []
        for at in range(8):
            batch = Batch(x=torch.zeros(1, 1), y=torch.zeros(1), id=torch.tensor([at]))
            given.append(ref(batch))
            type(self).most = max(self.most, sum(one() is not None for one in given))
            yield batch


class Sign(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x, x], dim=1)


def test_the_configured_data_are_asked_for_their_test_rows() -> None:
    configuration = {"data": {"class_path": f"{__name__}.Rows", "init_args": {"count": 5}}, "trainer": {}}
    found = asked_of(Sign(), configuration, FIELDS)
    assert found.ids.tolist() == [0, 1, 2, 3, 4]
    assert found.right.sum() >= 4
    assert configuration["data"]["init_args"] == {"count": 5}


def test_data_that_their_own_module_cannot_take_are_refused() -> None:
    with pytest.raises(
        DataRefused, match=r"Torn cannot take the data: the table has no column 'paid' \(test_testrows.py, line \d+\)"
    ):
        asked_of(Sign(), {"data": {"class_path": f"{__name__}.Torn"}}, FIELDS)


def test_a_data_module_that_was_configured_wrongly_is_no_fault_of_the_data() -> None:
    with pytest.raises(ConfigurationError, match="expected 4"):
        asked_of(Sign(), {"data": {"class_path": f"{__name__}.Wrong"}}, FIELDS)


def test_before_training_test_rows_are_looked_at_batch_by_batch() -> None:
    refuse_incomparable({"data": {"class_path": f"{__name__}.Stream"}}, FIELDS)
    assert 1 <= Stream.most <= 3


def test_without_the_package_that_makes_the_data_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    with pytest.raises(ConfigurationError, match=r'jsonargparse.*; pip install "safeguards\[pipelines\]"'):
        asked_of(Sign(), {"data": {}}, FIELDS)


def test_each_key_gets_the_file_of_the_delivery(tmp_path: Path) -> None:
    delivery = Delivery(folder=tmp_path, manifest=Manifest(files=()))
    files = {"data.init_args.path": "a.csv", "data.init_args.more": "b.csv"}
    assert paths_of(files, delivery) == {key: str(tmp_path.resolve() / name) for key, name in files.items()}
