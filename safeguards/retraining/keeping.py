"""The callback of a training whose model may go into production: what the fit ends with, stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from safeguards.core.batch import BatchFields, rows_of, select, take
from safeguards.core.canonical import canonical
from safeguards.core.compat import Callback
from safeguards.core.errors import ConfigurationError
from safeguards.core.files import write_whole
from safeguards.core.partition import is_partitioned
from safeguards.core.ranks import Ranks

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

__all__ = ["KEPT", "MODEL", "KeepModel"]

MODEL, KEPT = "model", "kept.json"
EXAMPLE_ROWS = 4


class KeepModel(Callback):
    """At the end of fit stores the module in ``folder/model``; last, in ``folder/kept.json``, where the run is tracked.

    Args:
        folder: of this training alone.
        fields: where a batch has its inputs; four rows of the first validation batch are stored as the example by which
            the gate sees that the model loads and predicts.

    """

    def __init__(self, *, folder: Path | str, fields: BatchFields) -> None:
        if not str(folder):
            raise ConfigurationError("KeepModel(folder=''): expected the folder of this training")
        self.folder, self.fields = Path(folder), fields

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        ranks = Ranks.of(trainer)
        state = _whole(pl_module)
        ranks.together((lambda: self._store(trainer, pl_module, state)) if ranks.rank == 0 else lambda: None)

    def _store(self, trainer: Trainer, module: LightningModule, state: Any) -> None:
        from safeguards.gate import store_model

        store_model(module, self.folder / MODEL, example=self._example(trainer), state=state)
        write_whole(self.folder / KEPT, canonical({"tracking_run": _tracked(trainer)}) + b"\n")

    def _example(self, trainer: Trainer) -> Any:
        loaders = trainer.val_dataloaders
        if loaders is None:
            raise ConfigurationError("KeepModel: the training has no validation rows to take an example from")
        batch = next(iter(loaders[0] if isinstance(loaders, (list, tuple)) else loaders))
        inputs = select(batch, self.fields.inputs, "inputs")
        return take(inputs, torch.arange(min(EXAMPLE_ROWS, rows_of(inputs, "inputs"))))


def _whole(module: LightningModule) -> Any:
    """All ranks: the weights gathered where ZeRO-3 has split them, else None, for then the module has them itself."""
    if not is_partitioned(module):
        return None
    from safeguards.deepspeed.weights import full_state_dict

    return full_state_dict(module)


def _tracked(trainer: Trainer) -> str | None:
    from safeguards.tracking import MLflowTracker

    runs = (logger.run_id for logger in trainer.loggers if isinstance(logger, MLflowTracker))
    return next(runs, None)
