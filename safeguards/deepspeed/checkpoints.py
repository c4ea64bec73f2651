"""Checkpoints of DeepSpeed's that are whole or not there, and of which nothing is unpickled before it was checked."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import EvidenceError
from safeguards.core.files import sync
from safeguards.core.ranks import Ranks
from safeguards.deepspeed.manifest import MANIFEST, Manifest, Sealed, by_age, names_in, sealed

if TYPE_CHECKING:
    from pytorch_lightning.strategies import DeepSpeedStrategy as _Lightning
else:
    _Lightning = object

__all__ = ["VerifiedCheckpoints"]

log = logging.getLogger(__name__)


class VerifiedCheckpoints(_Lightning):
    """Goes before a DeepSpeed strategy of Lightning's: ``class Mine(VerifiedCheckpoints, DeepSpeedStrategy): ...``.

    A checkpoint is saved beside its place, with a manifest of every file's digest written last, and then takes its
    place. Before one is loaded all processes check it together. A job that is to go on from a checkpoint that is not
    whole goes on from the newest whole one in the same folder, and says so; anything else that would load it is an
    `EvidenceError` on every process.

    Args:
        resume_unverified: load a checkpoint that has no manifest, such as one of plain Lightning, and **run what
            it holds**. One whose manifest does not fit it is refused all the same.
        options: those of the strategy.

    """

    def __init__(self, *, resume_unverified: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.resume_unverified = resume_unverified

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """All ranks: as Lightning's, into a folder beside ``filepath``, which then takes its place."""
        ranks = self._ranks()
        target = Path(ranks.broadcast(os.fspath(filepath)))
        unfinished = _beside(target, "unfinished")
        ranks.together(lambda: _clear(unfinished) if ranks.rank == 0 else None)
        super().save_checkpoint(checkpoint, str(unfinished), storage_options)
        names = ranks.broadcast(sorted(names_in(unfinished)))
        parts = ranks.gather(ranks.together(lambda: sealed(unfinished, names[ranks.rank :: ranks.world])))
        step = int(checkpoint.get("global_step", 0))
        ranks.together(lambda: _conclude(unfinished, target, parts, step) if ranks.rank == 0 else None)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """All ranks: as Lightning's, once the checkpoint is found whole, or that of the newest whole one beside it."""
        if self.load_full_weights and self.zero_stage_3:  # a single file; of one over http Lightning would run it all
            if weights_only is None and not self.resume_unverified:
                weights_only = True
            return super().load_checkpoint(checkpoint_path, weights_only)
        ranks = self._ranks()
        asked = Path(ranks.broadcast(os.fspath(checkpoint_path)))
        return super().load_checkpoint(str(self._chosen(asked, ranks)), weights_only)

    def load_checked(self, checkpoint_path: Any) -> dict[str, Any]:
        """All ranks: as Lightning's, of a folder that the caller wrote himself and has held against its digest."""
        return super().load_checkpoint(str(checkpoint_path))

    def _ranks(self) -> Ranks:
        assert self.lightning_module is not None  # noqa: S101 - it is being trained
        return Ranks.of(self.lightning_module.trainer)

    def _chosen(self, asked: Path, ranks: Ranks) -> Path:
        problem = _problem(asked, ranks)
        if problem is None:
            return asked
        if self.resume_unverified and ranks.any(asked.is_dir()) and not ranks.any((asked / MANIFEST).exists()):
            _say(ranks, f"{asked} has no manifest and is loaded unverified, as resume_unverified=True asks for")
            return asked
        others = ranks.broadcast(ranks.together(lambda: _others(asked) if ranks.rank == 0 else []))
        for step, other in others if self._resumes(asked) else []:
            if _problem(other, ranks) is None:
                _say(ranks, f"{asked} is not loaded: {problem}. Training goes on from {other.name}, of step {step}")
                return other
        raise EvidenceError(
            f"{asked} is not loaded: {problem}. Nothing of it was unpickled; name another checkpoint, or, for one "
            "without a manifest from a place where nobody else can write, pass resume_unverified=True to the strategy"
        )

    def _resumes(self, asked: Path) -> bool:
        """Whether a fit is to go on from there: what is tested or predicted with must be what was named."""
        assert self.lightning_module is not None  # noqa: S101 - it is being trained
        trainer = self.lightning_module.trainer
        named = trainer.ckpt_path
        return trainer.state.fn == "fit" and named is not None and Path(named) == asked


def _problem(folder: Path, ranks: Ranks) -> str | None:
    """All ranks: why a folder is not what was saved; None where it is on every host.

    The processes of a host split the digests, so that what each of them loads was read on its host.
    """
    hosts = ranks.gather(socket.gethostname())
    mates = [rank for rank, host in enumerate(hosts) if host == hosts[ranks.rank]]
    share = slice(mates.index(ranks.rank), None, len(mates))
    found = ranks.gather(ranks.together(lambda: _examined(folder, share)))
    texts = [text for text, _ in found if text is not None]
    if not texts and len({digest for _, digest in found}) > 1:
        return f"the processes read different manifests {MANIFEST}"
    return texts[0] if texts else None


def _examined(folder: Path, share: slice) -> tuple[str | None, str]:
    """What is wrong, and the digest of the manifest. Local."""
    try:
        if not folder.is_dir():
            return "there is no such folder", ""
        manifest = Manifest.read(folder)
        return manifest.problem(folder, share), manifest.digest
    except (EvidenceError, OSError) as error:
        return str(error), ""


def _others(asked: Path) -> list[tuple[int, Path]]:
    """The checkpoints beside it, the newest first. Local.

    In place of a folder that is not there only what a job left that was killed between two renames: a name that was
    misspelt is no checkpoint.
    """
    left = [_beside(asked, "unfinished"), _beside(asked, "earlier")]
    if not asked.is_dir():
        return by_age(place for place in left if place.is_dir())
    return by_age(place for place in asked.parent.iterdir() if place.is_dir() and place != asked)


def _conclude(unfinished: Path, target: Path, parts: list[list[Sealed]], step: int) -> None:
    """Rank 0: the manifest last, then the names. Killed anywhere, one whole checkpoint is left under one of them."""
    for folder in {path.parent for path in (unfinished / name for part in parts for name, *_ in part)}:
        sync(folder)
    Manifest(step=step, files={name: (size, digest) for part in parts for name, size, digest in part}).write(unfinished)
    earlier = _beside(target, "earlier")
    _clear(earlier)
    if target.is_dir() and not target.is_symlink():
        target.rename(earlier)
    else:
        _clear(target)
    unfinished.rename(target)
    sync(target.parent)
    _clear(earlier)


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f".{target.name}.{what}")


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _say(ranks: Ranks, text: str) -> None:
    if ranks.rank == 0:
        log.warning("%s", text)
