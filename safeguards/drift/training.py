"""A bounded sample of the training rows, as numbers per row, on all processes together.

The rows are chosen by a hash of their place in the training set, so they are the same on any number of processes, and
every process makes equally many forwards, so that partitioned weights stay in step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from safeguards.core.batch import rows_of, select
from safeguards.core.errors import NotApplicable
from safeguards.core.identity import mix
from safeguards.core.predictions import Capture

if TYPE_CHECKING:
    from safeguards.core.batch import BatchFields
    from safeguards.core.scene import Scene

__all__ = ["training_rows"]


def training_rows(
    scene: Scene,
    fields: BatchFields,
    *,
    k: int,
    seed: int,
    columns: Callable[[Any, Tensor | None, int], Tensor],
    ask: bool,
) -> Tensor:
    """All ranks: ``columns(inputs, logits, N)`` (N, F) of at most k training rows, those of each rank in turn.

    With ``ask`` the model is asked for its logits; else they are None. Raises `NotApplicable` when the training set
    cannot be read by place, or the model not be asked.
    """
    loader = _loader(scene)
    found: list[Tensor] = []
    for places in _shares(len(loader.dataset), k, seed, scene, int(loader.batch_size or 1)):  # type: ignore[arg-type]
        batch = scene.ranks.together(lambda chosen=places: _batch(loader, chosen, seed, scene))  # type: ignore[misc]
        inputs = select(batch, fields.inputs, "inputs")
        logits = _logits(scene, inputs) if ask else None
        found.append(columns(inputs, logits, rows_of(inputs, "inputs")))
    rows = torch.cat(found)[: _own(len(loader.dataset), k, scene)]  # type: ignore[arg-type]
    return torch.cat(scene.ranks.gather(rows))


def _loader(scene: Scene) -> DataLoader[Any]:
    loader = scene.trainer.train_dataloader
    if loader is None and getattr(scene.trainer, "datamodule", None) is not None:
        loader = scene.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        kind = type(loader).__name__ if not isinstance(loader, DataLoader) else type(loader.dataset).__name__
        raise NotApplicable(f'reference="train": the training rows are in a {kind}, expected a DataLoader over a set')
    return loader


def _own(size: int, k: int, scene: Scene) -> int:
    """How many of the k rows are this rank's: every world-th, from its rank."""
    return len(range(scene.ranks.rank, min(k, size), scene.ranks.world))


def _shares(size: int, k: int, seed: int, scene: Scene, batch: int) -> Iterator[list[int]]:
    """The batches of places of one rank: equally many on every rank, the first place standing in where rows run out."""
    chosen = torch.argsort(mix(torch.arange(size), seed), stable=True)[:k].sort().values.tolist()
    mine = chosen[scene.ranks.rank :: scene.ranks.world]
    most = -(-len(chosen) // scene.ranks.world)
    for start in range(0, most, batch):
        yield mine[start : start + batch] or chosen[:1]


def _batch(loader: DataLoader[Any], places: list[int], seed: int, scene: Scene) -> Any:
    """Rows as the loader would give them, on the module's device; an augmentation sees a seed of the row's own."""
    items = []
    for place, own in zip(places, mix(torch.tensor(places), seed).tolist(), strict=True):
        torch.default_generator.manual_seed(own % 2**32)
        np.random.seed(own % 2**32)
        random.seed(own)
        items.append(loader.dataset[place])
    return scene.trainer.strategy.batch_to_device(loader.collate_fn(items), scene.module.device)


def _logits(scene: Scene, inputs: Any) -> Tensor:
    """What the rows' outputs are taken from in validation: the captured submodule, or the forward itself."""
    n, name = rows_of(inputs, "inputs"), scene.how.outputs_of
    capture = None if name is None or scene.how.predict is not None else Capture(scene.module, name)
    try:
        raw = scene.forward(inputs)
        return scene.logits(raw if capture is None else capture.output(n), n).detach()
    finally:
        if capture is not None:
            capture.close()
