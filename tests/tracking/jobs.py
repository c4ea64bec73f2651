"""Small jobs that the tests of this folder run, in process and on real processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from safeguards import BatchFields, Limit, Measurement, Rows, Safeguard, Scene
from safeguards.tracking import MLflowTracker
from safeguards.tracking import tracker as room
from tests.helpers import toys
from tests.tracking.conftest import PATIENT_SECONDS


class Count(Safeguard):
    """How many validation rows there are."""

    topic = "count"
    measures = ("rows",)

    def prepare(self, scene: Scene) -> list[int]:
        return []

    def observe(self, seen: list[int], rows: Rows, scene: Scene) -> None:
        seen.append(rows.n)

    def examine(self, seen: list[int], scene: Scene) -> dict[str, Measurement]:
        n = sum(map(sum, scene.ranks.gather(seen)))
        return {"rows": Measurement(value=float(n), n=n)}


class Net(pl.LightningModule):
    """A line through noise."""

    def __init__(self, lr: float = 0.1, db_password: str = "none") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = self.layer(batch[0]).square().mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.layer(batch[0]).square().mean(), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def train_dataloader(self) -> torch.utils.data.DataLoader[Any]:
        rows = torch.arange(16.0).reshape(8, 2) / 16
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows, torch.zeros(8)), batch_size=2)

    val_dataloader = train_dataloader


def trainer(
    tracker: Any, folder: Path, *, at_most: float = 100.0, reaction: Any = "record", **options: Any
) -> pl.Trainer:
    """One epoch on the CPU, with one safeguard."""
    guard = Count(fields=BatchFields(inputs=0, target=1), limits={"rows": Limit(at_most=at_most)}, reaction=reaction)
    return toys.trainer(folder, guard, **{"max_epochs": 1, "logger": tracker, "log_every_n_steps": 1, **options})


def enter(folder: str) -> None:
    """As the fixture `here` does for a test."""
    os.chdir(folder)
    room.START_SECONDS = room.END_SECONDS = PATIENT_SECONDS


def start_four_at_once(folder: str) -> dict[str, Any]:
    """Four jobs that meet at a database without tables at the same instant, because all is imported before."""
    import mlflow.tracking  # noqa: F401

    enter(folder)
    context = multiprocessing.get_context("fork")
    barrier, made = context.Barrier(4), context.SimpleQueue()
    processes = [context.Process(target=_start, args=(barrier, made)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    return {"codes": codes, "runs": [made.get() for _ in range(codes.count(0))]}


def _start(barrier: Any, made: Any) -> None:
    barrier.wait(timeout=150)
    tracker = MLflowTracker()
    tracker.log_metrics({"x": 1.0}, step=0)
    tracker.finalize()
    made.put(tracker.run_id)


def train_on_two(folder: str) -> dict[str, Any]:
    """One rank of a job."""
    enter(folder)
    tracker = MLflowTracker()
    made = trainer(tracker, Path(folder), devices=int(os.environ["WORLD_SIZE"]), strategy="ddp")
    made.fit(Net())
    return {"run": tracker.run_id, "loaded_mlflow": "mlflow" in sys.modules}


def fork_in_mid_job(folder: str) -> dict[str, Any]:
    """A job whose sender is at work is forked: child and parent go on, one after the other, with the same tracker."""
    enter(folder)
    tracker = MLflowTracker()
    tracker.log_metrics({"x": 0.0}, step=0)
    made = tracker.run_id
    child = multiprocessing.get_context("fork").Process(target=_go_on, args=(tracker, 1))
    child.start()
    child.join(150)
    _go_on(tracker, 2)
    return {"code": child.exitcode, "runs": [made, tracker.run_id]}


def _go_on(tracker: MLflowTracker, step: int) -> None:
    tracker.log_metrics({"x": float(step)}, step=step)
    tracker.finalize()
    sent = tracker.experiment.get_metric_history(str(tracker.run_id), "x")
    assert step in [point.step for point in sent], "what waits is sent by whoever logged it"


def train_on_forks(folder: str) -> dict[str, Any]:
    """Lightning forks two ranks of a process that has made its tracker, thread and all."""
    enter(folder)
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK"):
        os.environ.pop(name, None)
    tracker = MLflowTracker()
    made = trainer(tracker, Path(folder), devices=2, strategy="ddp_fork")
    made.fit(Net())
    return {"run": tracker.run_id}
