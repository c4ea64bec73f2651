"""Small modules, data sets and fits for the tests of this folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from safeguards import BatchFields, Verdict, verdicts
from tests.helpers import toys

FIELDS = BatchFields(inputs=0, target=1)


def rows(count: int, seed: int = 0, features: int = 4) -> TensorDataset:
    """Two classes that the sum of the features tells apart, one row in five mislabelled."""
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, features, generator=draw)
    noise = torch.rand(count, generator=draw) < 0.2
    return TensorDataset(inputs, ((inputs.sum(1) > 0) ^ noise).long())


class Net(pl.LightningModule):
    """A small classifier with dropout and batch normalisation, so that train mode would show in a loss."""

    def __init__(self, outputs: int = 2, learning_rate: float = 0.05) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.body = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.3))
        self.head = torch.nn.Linear(16, outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(inputs).relu())

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        return functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, _: int) -> None:
        self(batch[0])

    def test_step(self, batch: Any, index: int) -> None:
        self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


class Logs(Net):
    """Logs numbers known in advance: in epoch e the training mean is e + 1.5, the validation mean 10(e + 1)."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log_train(float(self.current_epoch + index))
        return super().training_step(batch, index)

    def validation_step(self, batch: Any, index: int) -> None:
        self.log_validation(10.0 * (self.current_epoch + 1) + index - 0.5)

    def log_train(self, value: float) -> None:
        self.log("train_loss", value, on_step=True, on_epoch=True)

    def log_validation(self, value: float) -> None:
        self.log("val_loss", value)

    @staticmethod
    def gap(epoch: int) -> float:
        return 10.0 * (epoch + 1) - (epoch + 1.5)


def trainer(root: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    return toys.trainer(root, *callbacks, **{"max_epochs": 1, **options})


def fit(
    root: Path,
    guard: pl.Callback,
    *,
    module: pl.LightningModule | type[pl.LightningModule] = Net,
    train: Any = None,
    validation: Any = None,
    **options: Any,
) -> list[Verdict]:
    """Every verdict of a fit, by default on 4 batches of 16 and 2 of validation; a class is made once seeded."""
    pl.seed_everything(0, verbose=False)
    runner = trainer(root, guard, **options)
    train = DataLoader(rows(64), batch_size=16, shuffle=True) if train is None else train
    validation = DataLoader(rows(32, seed=1), batch_size=16) if validation is None else validation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner.fit(module() if isinstance(module, type) else module, train, validation)
    return verdicts(runner)
