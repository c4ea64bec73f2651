"""Saving weights so that a process whose disk is full fails together with the others, not while they wait for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from safeguards.core.errors import NotApplicable
from safeguards.core.ranks import describe

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.ranks import Ranks

__all__ = ["by_deepspeed", "remove", "save"]

TAG = "checkpoint"


def by_deepspeed(trainer: Trainer) -> bool:
    """Whether the weights are DeepSpeed's."""
    return hasattr(trainer.strategy, "deepspeed_engine")


def save(trainer: Trainer, module: LightningModule, ranks: Ranks, path: Path) -> None:
    """All ranks: write the weights to ``path``, a file or DeepSpeed's folder.

    Raises `RankError` on all ranks when one could not write, with nothing left of it; `NotApplicable` under strategies
    that are not known.
    """
    if by_deepspeed(trainer):
        problem = _write_folder(trainer.strategy, path, ranks)
    elif "FSDP" in type(trainer.strategy).__name__ or "ModelParallel" in type(trainer.strategy).__name__:
        raise NotApplicable(
            f"restore_best does not know {type(trainer.strategy).__name__}: it works on one process, DDP and "
            "DeepSpeed; use ModelCheckpoint there"
        )
    else:
        problem = _write_file(module, path) if ranks.rank == 0 else None
    try:
        ranks.agree(problem)
    except Exception:
        if ranks.rank == 0:
            remove(path)
        raise


def remove(path: Path) -> None:
    """What `save` wrote."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _write_file(module: LightningModule, path: Path) -> str | None:
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(module.state_dict(), unfinished)
        os.replace(unfinished, path)
    except Exception as error:
        unfinished.unlink(missing_ok=True)
        return _said(path, error)
    return None


def _write_folder(strategy: Any, path: Path, ranks: Ranks) -> str | None:
    """As Lightning has DeepSpeed do it, but for the name of the newest folder, which rank 0 writes before a barrier."""
    engine, problems = strategy.deepspeed_engine, list[Exception]()
    frozen = {"exclude_frozen_parameters": strategy.exclude_frozen_parameters}
    with _going_on(engine, problems):
        engine.save_checkpoint(str(path), tag=TAG, client_state={}, save_latest=False, **frozen)
    if ranks.rank == 0:
        _noting((path / "latest").write_text, problems)(TAG)
    return _said(path, problems[0]) if problems else None


def _said(path: Path, error: Exception) -> str:
    return f"cannot keep the best weights as {path.name} (is there room, and may it be written?): {describe(error)}"


@contextmanager
def _going_on(engine: Any, problems: list[Exception]) -> Iterator[None]:
    """While DeepSpeed saves, what a rank fails to write is noted: raised, it would leave the others in a barrier."""
    writer = engine.checkpoint_engine
    engine.checkpoint_engine = _Noting(writer, problems)
    engine._copy_recovery_script = _noting(engine._copy_recovery_script, problems)
    try:
        yield
    finally:
        engine.checkpoint_engine = writer
        del engine._copy_recovery_script


class _Noting:
    """A checkpoint engine of DeepSpeed's that raises nothing."""

    def __init__(self, engine: Any, problems: list[Exception]) -> None:
        self._engine, self._problems = engine, problems

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        return _noting(found, self._problems) if name in ("save", "makedirs") else found


def _noting(work: Callable[..., Any], problems: list[Exception]) -> Callable[..., Any]:
    def attempt(*args: Any, **kwargs: Any) -> Any:
        try:
            return work(*args, **kwargs)
        except Exception as error:
            problems.append(error)

    return attempt
