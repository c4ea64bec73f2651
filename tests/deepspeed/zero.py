"""A small net trained under one strategy; runs on each process and returns what the tests compare."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import safeguards.deepspeed as room

LIGHTNING = "pytorch_lightning"


def net(package: str = LIGHTNING) -> Any:
    base = import_module(package).LightningModule

    class Net(base):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
            self.losses: list[float] = []

        def training_step(self, batch: Any) -> torch.Tensor:
            x, y = batch
            loss = nn.functional.mse_loss(self.layers(x)[:, 0], y)
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    return Net()


def loader() -> DataLoader:
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(x, x.sum(1)), batch_size=8)


def trainer(strategy: Any, package: str = LIGHTNING, **options: Any) -> Any:
    settings = {"max_epochs": 2, "logger": False, "enable_checkpointing": False, **options}
    return import_module(package).Trainer(
        accelerator="cpu",
        devices=int(os.environ.get("WORLD_SIZE", "1")),
        strategy=strategy,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def train(strategy: str, package: str = LIGHTNING) -> dict[str, Any]:
    module = net(package)
    trainer(strategy, package).fit(module, loader())
    partitioned = room.is_partitioned(module)
    weights = {name: value.tolist() for name, value in room.full_state_dict(module).items()}
    return {"losses": module.losses, "weights": weights, "partitioned": partitioned}
