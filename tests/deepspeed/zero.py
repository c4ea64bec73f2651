"""What the distributed tests of this folder run on each process: a small net without randomness of its own."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import safeguards.deepspeed as room
from safeguards.core.weights import weights_digest

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
LIGHTNING = "pytorch_lightning"
CPU_NAMES = ("deepspeed_cpu_stage_1", "deepspeed_cpu_stage_2", "deepspeed_cpu_stage_3", "deepspeed_cpu_stage_3_offload")


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
    settings = {"max_epochs": 2, "logger": False, "enable_checkpointing": False, "accelerator": "cpu", **options}
    return import_module(package).Trainer(
        devices=WORLD,
        strategy=strategy,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def train(strategy: str, package: str = LIGHTNING, **options: Any) -> dict[str, Any]:
    module = net(package)
    running = trainer(strategy, package, **options)
    running.fit(module, loader())
    return {
        "losses": module.losses,
        "partitioned": room.is_partitioned(module),
        "weights": plain(room.full_state_dict(module)),
        "kind": "{0.__module__}.{0.__name__}".format(type(running.strategy)),
        "device": str(running.strategy.root_device),
    }


def plain(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: value.tolist() for name, value in weights.items()}


def resume(strategy: str) -> dict[str, Any]:
    """Two epochs, the second one from the checkpoint of the first, by a module that has other weights."""
    running = trainer(strategy, max_epochs=1)
    running.fit(net(), loader())
    path = f"checkpoint-{strategy}"
    running.save_checkpoint(path)
    module = net()
    nn.init.zeros_(module.layers[0].weight)
    trainer(strategy).fit(module, loader(), ckpt_path=path)
    return plain(room.full_state_dict(module))


def read_in_the_middle(strategy: str) -> dict[str, Any]:
    """Reads the whole weights after every epoch, as safeguards do, and what is left of them for their digest."""

    class Reader(import_module(LIGHTNING).Callback):
        seen: list[Any] = []  # noqa: RUF012
        digests: list[str] = []  # noqa: RUF012

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.seen.append(plain(room.full_state_dict(pl_module)))
            self.digests.append(weights_digest(pl_module, buffers=False).hex())

    module = net()
    trainer(strategy, callbacks=[Reader()]).fit(module, loader())
    return {"seen": Reader.seen, "digests": Reader.digests, "losses": module.losses}


def configured(file: str) -> dict[str, Any]:
    """Two batches as the file says."""
    from pytorch_lightning.cli import LightningCLI

    quiet = ["--trainer.fast_dev_run=2", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    cli = LightningCLI(type(net()), run=False, save_config_callback=None, args=["--config", file, *quiet])
    cli.trainer.fit(cli.model, loader())
    strategy = cli.trainer.strategy
    zero = strategy.config["zero_optimization"]
    return {
        "kind": type(strategy).__name__,
        "zero": {key: zero.get(key) for key in ("stage", "overlap_comm", "reduce_bucket_size", "offload_param")},
        "timeout_seconds": strategy._timeout.total_seconds(),
        "world": cli.trainer.world_size,
        "batches": len(cli.model.losses),
    }


def everything(files: list[str]) -> dict[str, Any]:
    """One start of the processes for all cases; Lightning and DeepSpeed share the process group of the first."""
    return {
        "trained": {name: train(name) for name in ("ddp", *CPU_NAMES)},
        "resumed": {name: resume(name) for name in CPU_NAMES[:3]},
        "configured": {Path(file).name: configured(file) for file in files},
        "read": read_in_the_middle("deepspeed_cpu_stage_3"),
        **known(),
    }


def known() -> dict[str, Any]:
    """What importing DeepSpeed and training with it have brought."""
    return {
        "loaded_mlflow": "mlflow" in sys.modules,
        "compatible_ops": dict(import_module("deepspeed").ops.__compatible_ops__),
    }


def alone() -> dict[str, Any]:
    packages = (LIGHTNING, "lightning.pytorch")
    every_row = {"use_distributed_sampler": False}
    trained = {name: train("deepspeed_cpu_stage_1", name, **every_row) for name in packages}
    return {"plain": train("auto", **every_row), **trained}
