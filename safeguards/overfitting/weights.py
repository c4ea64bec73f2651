"""The weights of the lowest validation loss: kept in the run's directory, given back at the end of training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from safeguards.overfitting.saving import by_deepspeed, remove, save

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.ranks import Ranks
    from safeguards.core.scene import Scene

__all__ = ["Best", "BestWeights"]

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Best:
    """Where the kept weights are, and what they achieved. ``digest`` is SHA-256 over the file or folder."""

    loss: float
    epoch: int
    step: int
    file: str
    digest: str


class BestWeights:
    """Keeps one set of weights.

    On one process and under DDP that is the module's state, written by rank 0. Under DeepSpeed it is DeepSpeed's own
    checkpoint, because ZeRO holds a second, exact copy of the weights in its optimizer.
    """

    def __init__(self) -> None:
        self.best: Best | None = None

    def offer(self, loss: float, scene: Scene, label: str) -> None:
        """All ranks: keep the weights as they are now if ``loss`` is the lowest so far."""
        if self.best is not None and not loss < self.best.loss:
            return
        path, ranks = scene.directory / f"best-{label}-{scene.moment.step}", scene.ranks
        save(scene.trainer, scene.module, ranks, path)
        digest = ranks.broadcast(digest_of(path) if ranks.rank == 0 else "")
        old = self.best
        self.best = Best(loss=loss, epoch=scene.moment.epoch, step=scene.moment.step, file=path.name, digest=digest)
        if ranks.rank == 0 and old is not None and old.file != path.name:
            remove(path.with_name(old.file))

    def restore(self, *, trainer: Trainer, module: LightningModule, ranks: Ranks, directory: Path) -> None:
        """All ranks: put the kept weights back, unless they are those of this very step.

        Raises `RankError` on all ranks when the file is missing or is not the one that was written.
        """
        if self.best is None or self.best.step == trainer.global_step:
            return
        path = directory / Path(self.best.file).name
        ranks.agree(_mismatch(path, self.best.digest if ranks.rank == 0 else None))
        if by_deepspeed(trainer):
            load = getattr(trainer.strategy, "load_checked", trainer.strategy.load_checkpoint)
            load(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True) if ranks.rank == 0 else {}
            module.load_state_dict(ranks.broadcast(state))

    def memory(self) -> dict[str, Any] | None:
        return None if self.best is None else asdict(self.best)

    def remember(self, memory: Mapping[str, Any] | None) -> None:
        self.best = None if memory is None else Best(**memory)


def digest_of(path: Path) -> str:
    """SHA-256 over the names and bytes of a file, or of every file in a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path.parent)}:{file.stat().st_size};".encode())
            with file.open("rb") as content:
                while block := content.read(BLOCK_BYTES):
                    digest.update(block)
    return digest.hexdigest()


def _mismatch(path: Path, expected: str | None) -> str | None:
    if not path.exists():
        return f"the best weights are gone: {path.name} is not in the run's directory"
    if expected is not None and digest_of(path) != expected:
        return f"the best weights were changed since they were kept: {path.name} is not loaded"
    return None
