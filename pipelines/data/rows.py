"""Rows with an identity, and the loaders over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipelines.data.split import SPLITS, Split

__all__ = ["UNLABELLED", "RowData", "Rows"]

UNLABELLED = -1
"""The target of a row that has no label yet, among rows that have one."""


@dataclass(frozen=True, kw_only=True)
class Rows(Dataset[dict[str, Any]]):
    """``inputs`` float32 (N, ...), ``target`` int64 (N,), ``row_id`` int64 (N,), ``groups`` N labels per attribute.

    ``target`` is None where the rows have no labels yet; their batches then have no such key.
    """

    inputs: Tensor
    target: Tensor | None
    row_id: Tensor
    groups: Mapping[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, position: int) -> dict[str, Any]:
        labels = {name: values[position] for name, values in self.groups.items()}
        target = {} if self.target is None else {"target": self.target[position]}
        return {"inputs": self.inputs[position], **target, "row_id": self.row_id[position], **labels}


class RowData(LightningDataModule):
    """Loaders over three sets of `Rows`. A subclass says in ``build`` what the rows of each split are."""

    def __init__(self, *, batch_size: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected 1 or more")
        self.batch_size = batch_size
        self._rows: dict[Split, Rows] = {}

    def build(self) -> dict[Split, Rows]:
        """The rows of every split; called once."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if not self._rows:
            self._rows = self.build()

    def rows(self, split: Split) -> Rows:
        """The rows of "train", "validation" or "test"."""
        if split not in SPLITS:
            raise ValueError(f"split={split!r}: expected one of {', '.join(SPLITS)}")
        self.setup()
        return self._rows[split]

    @property
    def features(self) -> int:
        """Size of the first axis of a row's inputs."""
        return int(self.rows("train").inputs.shape[1])

    @property
    def classes(self) -> int:
        """How many classes the training rows hold."""
        target = self.rows("train").target
        if target is None:
            raise ValueError("the training rows have no labels")
        return int(target.max()) + 1

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        return DataLoader(self.rows("train"), batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return DataLoader(self.rows("validation"), batch_size=self.batch_size)

    def test_dataloader(self) -> DataLoader[dict[str, Any]]:
        return DataLoader(self.rows("test"), batch_size=self.batch_size)
