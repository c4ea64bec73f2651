"""A trainer that does what is measured and nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, Trainer

__all__ = ["quiet_trainer"]


def quiet_trainer(folder: str, callbacks: Sequence[Callback], **options: Any) -> Trainer:
    """On the CPU, without logger, checkpoints, bars or the validation that comes before training."""
    return Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )
