"""A model answers on the test rows of the data that a configuration describes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from safeguards import BatchFields, ConfigurationError
from safeguards.retraining import DataRefused, asked_of, paths_of
from safeguards.retraining.intake import Delivery, Manifest

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
    with pytest.raises(DataRefused, match="Torn cannot take the data: the table has no column 'paid'"):
        asked_of(Sign(), {"data": {"class_path": f"{__name__}.Torn"}}, FIELDS)


def test_without_the_package_that_makes_the_data_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    with pytest.raises(ConfigurationError, match=r'jsonargparse.*; pip install "safeguards\[pipelines\]"'):
        asked_of(Sign(), {"data": {}}, FIELDS)


def test_each_key_gets_the_file_of_the_delivery(tmp_path: Path) -> None:
    delivery = Delivery(folder=tmp_path, manifest=Manifest(files=()))
    files = {"data.init_args.path": "a.csv", "data.init_args.more": "b.csv"}
    assert paths_of(files, delivery) == {key: str(tmp_path.resolve() / name) for key, name in files.items()}
