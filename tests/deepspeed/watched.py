"""The four safeguards, unchanged, on one small classifier under any accelerator and strategy."""

from __future__ import annotations

import os
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import safeguards.deepspeed  # noqa: F401 - registers the strategies
from safeguards import (
    AdversarialEvaluation,
    BatchFields,
    DriftReport,
    FairnessCheck,
    Limit,
    OverfittingGuard,
    ThreatModel,
    verdicts,
)

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
COLUMNS = ["a", "b", "c", "d"]


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


def four() -> list[Any]:
    fields = BatchFields(inputs=0, target=1, groups={"side": 2})
    threat = ThreatModel(norm="inf", eps=0.1)
    return [
        OverfittingGuard(fields=fields, limits={"generalization_gap": Limit(at_most=1.0)}),
        FairnessCheck(fields=fields, limits={"demographic_parity_difference": Limit(at_most=1.0)}),
        AdversarialEvaluation(fields=fields, threat=threat, limits={"robust_accuracy": Limit(at_least=0.0)}),
        DriftReport(
            reference="train",
            fields=fields,
            columns=COLUMNS,
            report=False,
            limits={"drifted_share": Limit(at_most=1.0)},
        ),
    ]


def fit(accelerator: str, strategy: str) -> dict[str, list[Any]]:
    """What each safeguard said last: outcome, value, number of rows and reason."""
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=WORLD,
        strategy=strategy,
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=four(),
    )
    trainer.fit(Classifier(), loader(128, 1), loader(57, 2))
    return {said.safeguard: [said.outcome.value, said.value, said.n, said.reason] for said in verdicts(trainer)}
