"""A plain module around any net, and one verdict on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from safeguards import AdversarialEvaluation, BatchFields, Limit, ThreatModel, Verdict, verdicts
from tests.helpers.toys import trainer

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
FIELDS = BatchFields(inputs=0, target=1)


class Plain(pl.LightningModule):
    """Steps that return nothing; notes whether they ran in inference mode."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        self.learning_rate = 0.1
        self.in_inference_mode: set[bool] = set()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any) -> None:
        self.in_inference_mode.add(torch.is_inference_mode_enabled())
        self(batch[0])

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.learning_rate)


def guard(**options: Any) -> AdversarialEvaluation:
    limit = Limit(at_least=options.pop("at_least", 0.0))
    settings = {"fields": FIELDS, "threat": ThreatModel(eps=0.05), "limits": {"robust_accuracy": limit}, **options}
    return AdversarialEvaluation(**settings)


def loader(x: Tensor, y: Tensor, batch_size: int = 64) -> DataLoader[Any]:
    return DataLoader(TensorDataset(x, y), batch_size=batch_size)


def judged(root: Path | str, net: Any, x: Tensor, y: Tensor, **options: Any) -> Verdict:
    """The verdict on ``net`` after one ``trainer.validate``."""
    running = trainer(root, guard(**options))
    running.validate(Plain(net), loader(x, y), verbose=False)
    (verdict,) = verdicts(running)
    return verdict
