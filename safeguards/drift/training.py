"""A bounded sample of the training rows, as numbers per row, on all processes together.

The rows are chosen by a hash of their place in the training set, so they are the same on any number of processes, and
every process makes equally many forwards, so that partitioned weights stay in step.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from safeguards.core.batch import first_tensor, rows_of, select
from safeguards.core.predictions import Capture
from safeguards.core.training_rows import choose, drawn_from, generators_kept, handed_over, read_batch, training_loader

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from safeguards.core.batch import BatchFields
    from safeguards.core.scene import Scene

__all__ = ["Asked", "ReadRows", "training_rows"]

MOST_KEPT = 2**26
"""Bytes of inputs that stay in memory on each process."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the model is asked for: its logits, and what the submodule `Predictions.features_of` gives."""

    logits: bool
    features: bool


class ReadRows:
    """Inputs of training rows by their places, read once in a fit while they are tensors that take little memory."""

    def __init__(self) -> None:
        self._of: weakref.ref[Any] | None = None
        self._inputs: dict[tuple[int, ...], Tensor] = {}
        self._bytes = 0

    def clear(self) -> None:
        """Read all of them anew."""
        self._of, self._inputs, self._bytes = None, {}, 0

    def belong_to(self, loader: DataLoader[Any]) -> None:
        """Forget those of another loader."""
        if self._of is None or self._of() is not loader:
            self.clear()
            self._of = weakref.ref(loader)

    def get(self, places: list[int], read: Callable[[], Any]) -> Any:
        """What ``read`` gives, or gave for these places; a copy, because a model may work in place."""
        kept = self._inputs.get(tuple(places))
        inputs = read() if kept is None else kept
        if kept is None and isinstance(inputs, Tensor) and self._bytes + inputs.nbytes <= MOST_KEPT:
            self._inputs[tuple(places)] = inputs
            self._bytes += inputs.nbytes
        return inputs.clone() if isinstance(inputs, Tensor) else inputs


def training_rows(
    scene: Scene,
    fields: BatchFields,
    *,
    k: int,
    seed: int,
    columns: Callable[[int, Any, Tensor | None, Tensor | None], Tensor],
    ask: Asked,
    read: ReadRows,
) -> tuple[Tensor, int]:
    """All ranks: ``columns(N, inputs, logits, features)`` (N, F) of at most k training rows, and how many there are.

    They come in the order of their places. What the model is not asked for is None. Raises `NotApplicable` when the
    training set cannot be read by place, or the model not be asked.
    """
    loader = training_loader(scene.trainer, scene.module)
    places = drawn_from(loader, scene.trainer)
    read.belong_to(loader)
    chosen = sorted(int(places[i]) for i in choose(len(places), k, seed))
    mine = chosen[scene.ranks.rank :: scene.ranks.world]
    found: list[Tensor] = []
    shares = list(_shares(mine, chosen, scene.ranks.world, int(loader.batch_size or 1)))
    with generators_kept(loader.dataset), scene.progress("training rows", len(shares)) as told:
        for share in shares:
            inputs = scene.ranks.together(
                lambda share=share: read.get(share, lambda: _inputs(loader, fields, share, seed, scene))  # type: ignore[misc]
            )
            answers = scene.ranks.together(lambda given=inputs: _answers(scene, given, ask))  # type: ignore[misc]
            found.append(columns(rows_of(inputs, "inputs"), inputs, *answers))
            told()
    return _in_order(scene.ranks.gather(torch.cat(found)[: len(mine)])), len(places)


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


def _inputs(loader: DataLoader[Any], fields: BatchFields, places: list[int], seed: int, scene: Scene) -> Any:
    """Inputs of rows as the training step would get them."""
    batch = handed_over(read_batch(loader, places, seed), scene.trainer, scene.module)
    return select(batch, fields.inputs, "inputs")


def _answers(scene: Scene, inputs: Any, ask: Asked) -> tuple[Tensor | None, Tensor | None]:
    """Logits and features of one forward, each None where it is not asked for.

    The logits are what they are in validation: the captured submodule's output, or the forward's.
    """
    if not (ask.logits or ask.features):
        return None, None
    n, how = rows_of(inputs, "inputs"), scene.how
    of = how.outputs_of if ask.logits and how.predict is None else None
    beside = how.features_of if ask.features else None
    with ExitStack() as hooks:
        captures = {
            name: hooks.enter_context(closing(Capture(scene.module, name))) for name in (of, beside) if name is not None
        }
        raw = scene.forward(inputs)
        logits = scene.logits(raw if of is None else captures[of].output(n), n).detach() if ask.logits else None
        return logits, None if beside is None else first_tensor(captures[beside].output(n))
