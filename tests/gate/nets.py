"""Small networks that are stored and loaded by their class path."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn

CLASSES = ["tests.gate.nets.*"]
ROWS = torch.arange(24, dtype=torch.float32).reshape(6, 4) / 10


class Net(pl.LightningModule):
    """Inputs (N, F) to logits (N, 2)."""

    def __init__(self, *, features: int = 4, width: int = 3, note: str = "") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, 2))

    def forward(self, x):
        return self.network(x)


class Tied(nn.Module):
    """Encoder and decoder are one weight, tied by the constructor or only by hand afterwards."""

    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return {"code": self.encoder(x), "again": [self.decoder(self.encoder(x))]}


class Forgetful(nn.Module):
    """Holds what neither its arguments nor its state tell."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.hidden = torch.rand(1)

    def forward(self, x):
        return x * self.weight * self.hidden


class Branching(nn.Module):
    """What ``torch.export`` cannot follow: control flow that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.weight if x.sum().item() > 0 else -x


class Two(nn.Module):
    """Two positional arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x, scale):
        return self.layer(x) * scale


class Canary(nn.Module):
    """Leaves a file when it is made: to be loaded it must be on the list."""

    def __init__(self, *, path: str) -> None:
        super().__init__()
        Path(path).touch()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.weight
