"""The processes of a job: how they are told to end, and what they do at their end."""

from __future__ import annotations

import os
from typing import Any

import pytorch_lightning
import torch

from pipelines.told import keep_sigterm, tell_too

__all__ = ["JobTrainer", "is_first", "leave_group"]


class JobTrainer(pytorch_lightning.Trainer):
    """Lightning's, less its handler of SIGTERM where `ends_when_told` is at work.

    That one makes a collective out of turn: which one of the other process it meets is chance, and where it meets
    another kind both wait until the process group times out.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        tell_too(self.strategy.launcher)

    def _run_stage(self) -> Any:
        """Lightning has just set its handler, and puts back at the end what was there before."""
        keep_sigterm()
        return super()._run_stage()


def is_first() -> bool:
    """Whether this is the process that was started by hand, and the others by it."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def leave_group() -> None:
    """All processes, when nothing is left to say between them: one that exits while gloo's threads work may abort."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
