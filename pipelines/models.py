"""Small networks over the dict batches of `pipelines.data`. Use your own by its class path.

Shapes: N rows, F features, C classes.
"""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ImageNet8", "TabularNet"]


class _Classifier(LightningModule):
    """Cross entropy over ``batch["inputs"]`` and ``batch["target"]``; ``validation_step`` returns its logits (N, C)."""

    def __init__(self, network: nn.Module, *, learning_rate: float) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs)
        return logits

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        loss = functional.cross_entropy(self(batch["inputs"]), batch["target"])
        self.log("train_loss", loss, on_step=True, on_epoch=True, sync_dist=True, batch_size=len(batch["target"]))
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        return self._judge(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        return self._judge(batch, "test")

    def _judge(self, batch: dict[str, Any], prefix: str) -> dict[str, Tensor]:
        logits = self(batch["inputs"])
        loss = functional.cross_entropy(logits, batch["target"])
        accuracy = (logits.argmax(-1) == batch["target"]).float().mean()
        found = {f"{prefix}_loss": loss, f"{prefix}_accuracy": accuracy}
        self.log_dict(found, sync_dist=True, prog_bar=True, batch_size=len(logits))
        return {"loss": loss, "logits": logits}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class TabularNet(_Classifier):
    """A perceptron with two hidden layers: inputs (N, F) to logits (N, C)."""

    def __init__(
        self, *, features: int, classes: int = 2, width: int = 32, dropout: float = 0.1, learning_rate: float = 3e-3
    ) -> None:
        layers = (
            nn.Linear(features, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, classes),
        )
        super().__init__(nn.Sequential(*layers), learning_rate=learning_rate)
        self.save_hyperparameters()


class ImageNet8(_Classifier):
    """Two convolutions over images of one channel and 8 x 8 pixels: inputs (N, 1, 8, 8) to logits (N, C)."""

    def __init__(self, *, classes: int = 10, channels: int = 16, learning_rate: float = 3e-3) -> None:
        layers = (
            nn.Conv2d(1, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * channels * 2 * 2, classes),
        )
        super().__init__(nn.Sequential(*layers), learning_rate=learning_rate)
        self.save_hyperparameters()
