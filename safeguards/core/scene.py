"""One loader at one moment, as a safeguard sees it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from safeguards.core.predictions import Predictions, as_logits, forward
from safeguards.core.progress import progress
from safeguards.core.verdict import Moment

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from safeguards.core.ranks import Ranks

__all__ = ["Loader", "Scene"]


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Where rows come from: ``size`` of the data set (None: unknown), ``name`` (None: the only loader).

    ``identified`` says whether rows have an identity that does not depend on the number of processes.
    """

    name: str | None = None
    dataset: Any = None
    size: int | None = None
    identified: bool = True


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that a safeguard may use while it prepares, observes and examines.

    ``look`` counts the judgements at this stage and loader in this run from 1. ``partitioned`` says that weights are
    spread over the ranks, so that a forward is a collective. ``directory`` is the run's; only rank 0 writes there.
    ``thinned`` says that `observe` is shown a part of the loader's rows, because ``max_share_of_fit`` allows no more.
    """

    trainer: Trainer
    module: LightningModule
    ranks: Ranks
    moment: Moment
    loader: Loader
    look: int
    directory: Path
    partitioned: bool
    how: Predictions
    budget: Callable[[int], int] = field(repr=False)
    thinned: bool = False

    def forward(self, inputs: Any) -> Any:
        """Raw outputs of a forward of the safeguard's own: ``predict=`` or the module, in the trainer's precision.

        Gradients are recorded only under ``torch.enable_grad()``. Raises `NotApplicable` when there is no forward.
        """
        return forward(self.trainer, self.module, inputs, self.how)

    def logits(self, outputs: Any, n: int | None = None) -> Tensor:
        """Raw outputs of ``n`` rows as checked float32 logits ``(N, C)`` or ``(N,)``; gradients pass through."""
        return as_logits(outputs, len(outputs) if n is None else n, self.how.output)

    def rows_within_budget(self, wanted: int) -> int:
        """``wanted``, or as many rows as ``max_share_of_fit`` allows, at least 64; the same number on all ranks."""
        return self.budget(wanted)

    def progress(self, what: str, total: int | None = None) -> AbstractContextManager[Callable[[], None]]:
        """Shows how far long work is, at a terminal; call what it gives once for each of ``total`` pieces. Local."""
        return progress(self.trainer, what, total)
