"""The callback of a training whose model may go into production: what the fit ends with, stored."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from safeguards.core.batch import BatchFields, rows_of, select, take
from safeguards.core.canonical import canonical, parse
from safeguards.core.compat import Callback
from safeguards.core.errors import ConfigurationError, EvidenceError
from safeguards.core.files import read_whole, write_whole
from safeguards.core.partition import is_partitioned
from safeguards.core.ranks import Ranks
from safeguards.gate import StoredModel, store_model

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

__all__ = ["KEPT", "MODEL", "KeepModel", "Kept"]

MODEL, KEPT = "model", "kept.json"
EXAMPLE_ROWS = 4
LARGEST_KEPT = 10_000


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
        given = _arguments(module)
        store_model(module, self.folder / MODEL, example=self._example(trainer), state=state, arguments=given)
        write_whole(self.folder / KEPT, canonical({"tracking_run": _tracked(trainer)}) + b"\n")

    def _example(self, trainer: Trainer) -> Any:
        loaders = trainer.val_dataloaders
        if loaders is None:
            raise ConfigurationError(
                "KeepModel: the training has no validation rows to take an example from; give it a val_dataloader()"
            )
        batch = next(iter(loaders[0] if isinstance(loaders, (list, tuple)) else loaders))
        inputs = select(batch, self.fields.inputs, "inputs")
        return take(inputs, torch.arange(min(EXAMPLE_ROWS, rows_of(inputs, "inputs"))))


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a training left in its folder: the stored model, the run's directory with its ledger, and its MLflow run."""

    stored: StoredModel
    run: Path
    tracking_run: str | None

    @classmethod
    def read(cls, folder: Path) -> Kept:
        """Raises `EvidenceError` where a training came to no end, or more than one wrote there."""
        held = parse(read_whole(folder / KEPT, at_most=LARGEST_KEPT), what=str(folder / KEPT))
        runs = sorted(path.parent for path in folder.glob("safeguards/*/verdicts.jsonl"))
        if len(runs) != 1 or not isinstance(held, dict) or "tracking_run" not in held:
            raise EvidenceError(f"{folder}: expected one run with a ledger and {KEPT}, found {len(runs)} runs")
        return cls(stored=StoredModel.read(folder / MODEL), run=runs[0], tracking_run=held["tracking_run"])


def _arguments(module: LightningModule) -> dict[str, Any]:
    """What ``save_hyperparameters()`` kept, less what the class does not take: a CLI links and adds of its own."""
    taken = inspect.signature(type(module).__init__).parameters
    any_name = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
    kept = dict(module.hparams)
    return {name: value for name, value in kept.items() if name in taken or (any_name and not name.startswith("_"))}


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
