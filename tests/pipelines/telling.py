"""A study and a callback that tell their own job to end, each at its moment of a training."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from pytorch_lightning import Callback

from pipelines.data import DiabetesStudy

__all__ = ["JOB", "InTraining", "Second"]

JOB = "TOLD_JOB"
"""The variable that holds the id of the job's first process."""
LONGEST_SECONDS = 120.0


class Second(DiabetesStudy):
    """The second process tells itself alone when validation rows are asked for: just before a training begins."""

    def val_dataloader(self) -> Any:
        if self.trainer is not None and self.trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().val_dataloader()


class InTraining(Callback):
    """The first process of the job is told at the third step, which takes as long as it takes to come back here."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 2:
            os.kill(int(os.environ[JOB]), signal.SIGTERM)
            time.sleep(LONGEST_SECONDS)
