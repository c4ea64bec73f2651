"""What two processes under real ZeRO make of checkpoints that were cut short, planted and killed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from safeguards.core.errors import EvidenceError
from safeguards.deepspeed import DeepSpeedCPUStrategy
from tests.deepspeed import zero


class Keep(pl.Callback):
    """A checkpoint after each epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


class Planted:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.mark,)


def fit(stage: int, *callbacks: Any, resume: Path | None = None, **options: Any) -> Any:
    """What came of it: the weights and how many batches it took, or the error."""
    module = zero.net()
    job = zero.trainer(DeepSpeedCPUStrategy(stage=stage, timeout=60, **options), callbacks=list(callbacks))
    try:
        job.fit(module, zero.loader(), ckpt_path=resume)
    except EvidenceError as error:
        return str(error)
    return {"weights": zero.plain(zero.room.full_state_dict(module)), "batches": len(module.losses)}


def on_first(work: Any) -> None:
    """Rank 0 does it while the other waits."""
    if torch.distributed.get_rank() == 0:
        work()
    torch.distributed.barrier()


def cases(stage: int, folder: Path) -> dict[str, Any]:
    found = {"whole": fit(stage, Keep(folder))}
    first, last = folder / "4.ckpt", folder / "8.ckpt"
    on_first(lambda: shutil.copytree(folder, folder.with_name(f"{folder.name}-whole")))
    found["last"] = fit(stage, resume=last)
    second = (
        last
        / "checkpoint"
        / next(name for name in os.listdir(last / "checkpoint") if "rank_1" in name and "optim" in name)
    )
    on_first(lambda: os.truncate(second, second.stat().st_size // 2))
    found["cut"] = fit(stage, resume=last)
    on_first(lambda: plant(first, folder / "ran"))
    found["planted"] = fit(stage, resume=first)
    on_first((first / "safeguards.json").unlink)
    found["unlisted"] = fit(stage, resume=first)
    return found


def plant(checkpoint: Path, mark: Path) -> None:
    name = next(name for name in sorted(os.listdir(checkpoint / "checkpoint")) if "model_states" in name)
    (checkpoint / "checkpoint" / name).write_bytes(pickle.dumps(Planted(str(mark))))


class Die(Keep):
    """The second process ends amid its part of the second checkpoint, which is to replace one that is there."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        engine = trainer.strategy.deepspeed_engine.checkpoint_engine
        if trainer.global_rank == 1 and trainer.current_epoch == 1:
            engine.save = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        super().on_train_epoch_end(trainer, pl_module)


def everything(folder: str) -> None:
    place = Path(folder)
    found = {}
    for stage in (2, 3):
        found[str(stage)] = cases(stage, place / str(stage))
    found["unverified"] = {}
    plain = place / "2-whole" / "4.ckpt"
    on_first((plain / "safeguards.json").unlink)
    on_first((place / "2-whole" / "8.ckpt" / "safeguards.json").unlink)
    found["unverified"] = fit(2, resume=plain, resume_unverified=True)
    (place / f"{os.environ['RANK']}.json").write_text(json.dumps(found))
    fit(3, Die(place / "3-whole"))
