"""The four safeguards, unchanged, on one small classifier under any accelerator and strategy."""

from __future__ import annotations

import os
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import safeguards.deepspeed  # noqa: F401 - registers the strategies
from safeguards import BatchFields, Limit, verdicts
from tests.helpers.four import LIMITS, four
from tests.helpers.toys import trainer

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
WIDE = {measure: Limit(at_least=0.0) if measure == "robust_accuracy" else Limit(at_most=1.0) for measure in LIMITS}


class Classifier(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)

    def training_step(self, batch: Any) -> torch.Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any) -> None:
        self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


def loader(rows: int, seed: int) -> DataLoader:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(x, (x.sum(1) > 0).long(), (x[:, 0] > 0).long()), batch_size=16)


def fit(accelerator: str, strategy: str) -> dict[str, list[Any]]:
    """What each safeguard said last: outcome, value, number of rows and reason."""
    fields = BatchFields(inputs=0, target=1, groups={"side": 2})
    watching = four(WIDE, own={"drift": {"columns": [*"abcd"]}}, fields=fields)
    job = trainer(".", *watching, accelerator=accelerator, devices=WORLD, strategy=strategy)
    job.fit(Classifier(), loader(128, 1), loader(57, 2))
    return {said.safeguard: [said.outcome.value, said.value, said.n, said.reason] for said in verdicts(job)}
