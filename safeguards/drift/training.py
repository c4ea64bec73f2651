"""A bounded sample of the training rows, as numbers per row, on all processes together.

The rows are chosen by a hash of their place in the training set, so they are the same on any number of processes, and
every process makes equally many forwards, so that partitioned weights stay in step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from safeguards.core.batch import rows_of, select
from safeguards.core.predictions import Capture
from safeguards.core.training_rows import choose, drawn_from, generators_kept, handed_over, read_batch, training_loader

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

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
    """All ranks: ``columns(inputs, logits, N)`` (N, F) of at most k training rows, in the order of their places.

    With ``ask`` the model is asked for its logits; else they are None. Raises `NotApplicable` when the training set
    cannot be read by place, or the model not be asked.
    """
    loader = training_loader(scene.trainer, scene.module)
    places = drawn_from(loader, scene.trainer)
    chosen = sorted(int(places[i]) for i in choose(len(places), k, seed))
    mine = chosen[scene.ranks.rank :: scene.ranks.world]
    found: list[Tensor] = []
    shares = list(_shares(mine, chosen, scene.ranks.world, int(loader.batch_size or 1)))
    with generators_kept(loader.dataset), scene.progress("training rows", len(shares)) as told:
        for share in shares:
            batch = scene.ranks.together(lambda share=share: _batch(loader, share, seed, scene))  # type: ignore[misc]
            inputs = select(batch, fields.inputs, "inputs")
            logits = scene.ranks.together(lambda given=inputs: _logits(scene, given)) if ask else None  # type: ignore[misc]
            found.append(columns(inputs, logits, rows_of(inputs, "inputs")))
            told()
    return _in_order(scene.ranks.gather(torch.cat(found)[: len(mine)]))


def _in_order(parts: list[Tensor]) -> Tensor:
    """Rows as one process has them: what is split by order later must not depend on the number of processes."""
    rows = torch.empty(sum(map(len, parts)), *parts[0].shape[1:], dtype=parts[0].dtype)
    for rank, part in enumerate(parts):
        rows[rank :: len(parts)] = part
    return rows


def _shares(mine: list[int], chosen: list[int], world: int, batch: int) -> Iterator[list[int]]:
    """The batches of places of one rank: equally many on every rank, the first place standing in where rows run out."""
    for start in range(0, -(-len(chosen) // world), batch):
        yield mine[start : start + batch] or chosen[:1]


def _batch(loader: DataLoader[Any], places: list[int], seed: int, scene: Scene) -> Any:
    """Rows as the training step would get them."""
    return handed_over(read_batch(loader, places, seed), scene.trainer, scene.module)


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
