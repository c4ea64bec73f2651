"""Small modules, data and a safeguard whose every number can be worked out by hand."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from safeguards import BatchFields, Limit, Measurement, Rows, Safeguard, Scene

PAIR = BatchFields(inputs=0, target=1)
WITHIN, OUTSIDE = Limit(at_least=0.0), Limit(at_least=2.0)


def rows(n: int = 57, seed: int = 0) -> TensorDataset:
    """``n`` rows of 4 standard normal features; the target is the sign of the first."""
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, 0] > 0).long())


def loader(n: int = 57, batch_size: int = 16, seed: int = 0, **options: Any) -> DataLoader[Any]:
    return DataLoader(rows(n, seed), batch_size=batch_size, **options)


class Net(pl.LightningModule):
    """Two linear layers; ``x, y = batch``; the step returns only a loss."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, _: int) -> Tensor:
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> Any:
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("val_loss", loss, sync_dist=True)
        return loss

    def test_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> Any:
        return self.validation_step(batch, index)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Accuracy(Safeguard):
    """Share of rows that are classified correctly: 1 is all of them."""

    topic = "toy"
    measures = ("accuracy", "rows")

    def __init__(self, *, fail_on: int | None = None, **options: Any) -> None:
        super().__init__(**{"fields": PAIR, "limits": {"accuracy": WITHIN}, **options})
        self._fail_on = fail_on

    def prepare(self, scene: Scene) -> dict[str, Any]:
        return {"counts": torch.zeros(2, dtype=torch.int64), "ids": [], "groups": []}

    def observe(self, seen: dict[str, Any], rows: Rows, scene: Scene) -> None:
        if self._fail_on == scene.ranks.rank:
            raise ValueError("told to fail")
        assert rows.target is not None
        right = rows.logits().argmax(1) == rows.target
        seen["counts"] += torch.stack([right.sum(), torch.tensor(rows.n)])
        seen["ids"] += rows.ids.tolist()
        seen["groups"] += rows.groups.get("sex", [])

    def examine(self, seen: dict[str, Any], scene: Scene) -> dict[str, Measurement]:
        right, total = scene.ranks.sum(seen["counts"]).tolist()
        ids = sorted(i for part in scene.ranks.gather(seen["ids"]) for i in part)
        groups = sorted(g for part in scene.ranks.gather(seen["groups"]) for g in part)
        details = {"ids": ids, "groups": groups, "right": right, "look": scene.look}
        return {
            "accuracy": Measurement(value=right / total, n=total, details=details),
            "rows": Measurement(value=total, n=total),
        }


def trainer(root: Path | str, *callbacks: Any, **options: Any) -> pl.Trainer:
    """A quiet trainer on one CPU process."""
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    given = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": str(root),
    }
    return pl.Trainer(**{**given, **options}, callbacks=list(callbacks))


def expected_accuracy(module: nn.Module, data: TensorDataset) -> float:
    """The same number, worked out over all rows at once."""
    x, y = data.tensors
    with torch.no_grad():
        return float((module.eval()(x).argmax(1) == y).double().mean())
