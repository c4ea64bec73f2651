"""What the processes of a job do at its end, also when they are told to end."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.exceptions import SIGTERMException

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["TOLD_TO_END", "EndsWhenTold", "SIGTERMException", "code_when_told", "is_first", "leave_group"]

TOLD_TO_END = 128 + signal.SIGTERM
"""The exit code of a job that SIGTERM ended, as a shell gives it."""


class EndsWhenTold(Callback):
    """SIGTERM to the first process ends every process of a fit where it is, as Ctrl-C does; a second ends it at once.

    Lightning's own handler makes a collective out of turn: which one of the other process it meets is chance, and where
    it meets another kind both wait until the process group times out.
    """

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has set its handler, and puts back at the end of the fit what was there before."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, partial(_end, trainer))

    on_train_start = on_sanity_check_start


def _end(trainer: Trainer, number: int, _: FrameType | None) -> NoReturn:
    """The others once: a group that is told together is told again by its first process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL if is_first() else signal.SIG_IGN)
    if trainer.strategy.launcher is not None:
        trainer.strategy.launcher.kill(number)
    raise SIGTERMException


def is_first() -> bool:
    """Whether this is the process that was started by hand, and the others by it."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def code_when_told() -> int:
    """What a process exits with that was told to end.

    0 but for the first: Lightning kills that one before it has ended in order where another leaves with any other code.
    """
    return TOLD_TO_END if is_first() else 0


def leave_group() -> None:
    """All processes, when nothing is left to say between them: one that exits while gloo's threads work may abort."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
