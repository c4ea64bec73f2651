"""A fixed, bounded sample of the training rows, read without disturbing the loader that trains.

The training loader itself is never iterated: rows are chosen by a hash of their number, read from its data set and put
together by its collate function. Random augmentation draws from generators seeded by row, so a row looks the same at
every look and on any number of processes.
"""

from __future__ import annotations

import math
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from safeguards.core.errors import NotApplicable
from safeguards.core.identity import mix

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

__all__ = ["choose", "drawn_from", "generators_kept", "handed_over", "read_batch", "training_loader"]

MOST_OBJECTS = 1000
LEAVES = (str, bytes, int, float, complex, type(None), torch.Tensor, np.ndarray, np.generic)
HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
TRAINED_ON = "_safeguards_training_loader"


def training_loader(trainer: Trainer, module: LightningModule) -> DataLoader[Any]:
    """The loader that fit trains on; outside fit, that of the data module, the last fit or the module.

    Raises `NotApplicable` when there is none, or several.
    """
    held = trainer.train_dataloader
    loader = _made_outside_fit(trainer, module) if held is None else held
    if not isinstance(loader, DataLoader):
        raise NotApplicable(
            f"training rows are read from one DataLoader, this trainer trains on a {type(loader).__name__}: let "
            "train_dataloader() return one"
        )
    vars(trainer)[TRAINED_ON] = loader  # in a weak map, a loader that knows its trainer would keep it alive
    return loader


def _made_outside_fit(trainer: Trainer, module: LightningModule) -> Any:
    source = getattr(trainer, "datamodule", None) or module
    if source is module and TRAINED_ON in vars(trainer):
        return vars(trainer)[TRAINED_ON]
    try:
        return source.train_dataloader()
    except Exception as error:
        raise NotApplicable(
            f"no training rows outside fit: {type(source).__name__}.train_dataloader() raised "
            f"{type(error).__name__}; give a data module that has its training set at hand"
        ) from error


def drawn_from(loader: DataLoader[Any], trainer: Trainer | None = None) -> Sequence[int]:
    """Positions in the data set that the loader's sampler can draw, in as many batches as ``trainer`` takes of it.

    Raises `NotApplicable` when they cannot be known without iterating.
    """
    _refuse_unbounded(loader)
    sampler = _innermost(getattr(loader.batch_sampler, "sampler", None))
    if isinstance(sampler, SubsetRandomSampler):
        return sampler.indices
    if isinstance(sampler, WeightedRandomSampler):
        return torch.nonzero(sampler.weights).flatten().tolist()
    if isinstance(sampler, SequentialSampler):
        return range(min(len(sampler.data_source), _rows_taken(loader, trainer)))
    if isinstance(sampler, RandomSampler):
        return range(len(sampler.data_source))
    if isinstance(sampler, DistributedSampler):
        taken = sys.maxsize if sampler.shuffle else _rows_taken(loader, trainer) * sampler.num_replicas
        return range(min(len(sampler.dataset), taken))  # type: ignore[arg-type]
    raise NotApplicable(
        f"which training rows a {type(sampler).__name__} draws cannot be known: make the training set a Subset of "
        "those rows with a sampler of torch"
    )


def _rows_taken(loader: DataLoader[Any], trainer: Trainer | None) -> int:
    """Rows of one epoch of this trainer's fit on one process under ``limit_train_batches`` or ``overfit_batches``."""
    if trainer is None or not math.isfinite(trainer.num_training_batches):
        return sys.maxsize
    return int(trainer.num_training_batches) * int(getattr(loader.batch_sampler, "batch_size", sys.maxsize))


def _refuse_unbounded(loader: DataLoader[Any]) -> None:
    kind = type(loader.dataset).__name__
    if isinstance(loader.dataset, IterableDataset) or not hasattr(loader.dataset, "__len__"):
        raise NotApplicable(
            f"the training set {kind} has no rows to choose from, only a stream: give it __len__ and __getitem__"
        )
    if loader.batch_sampler is None:
        raise NotApplicable(f"the training set {kind} makes its own batches: give the DataLoader a batch_size")


def _innermost(sampler: Any) -> Any:
    """Lightning wraps a sampler of the user's own to spread it over processes."""
    inner = getattr(getattr(sampler, "dataset", None), "_sampler", None)
    return sampler if inner is None else inner


def choose(size: int, rows: int, seed: int) -> list[int]:
    """At most ``rows`` different numbers below ``size``, the same for the same arguments; all where they suffice.

    Number i is hash(i, seed) modulo size, repeats left out: the work grows with ``rows``, not with ``size``.
    """
    if rows >= size:
        return list(range(size))
    drawn, tries = dict[int, None](), 2 * rows
    while len(drawn) < rows:
        drawn = dict.fromkeys((mix(torch.arange(tries), seed) % size).tolist())
        tries *= 2
    return list(drawn)[:rows]


def read_batch(loader: DataLoader[Any], positions: Sequence[int], seed: int) -> Any:
    """The rows at these positions of the data set as the loader would give them, on the CPU."""
    seeds = [row_seed % 2**32 for row_seed in mix(torch.tensor(positions), seed).tolist()]
    items = _drawing_nothing(loader.dataset, positions, seeds[-1])
    if items is None:
        items = [_seeded(loader.dataset, *each) for each in zip(positions, seeds, strict=True)]
    return loader.collate_fn(items)


def _drawing_nothing(dataset: Any, positions: Sequence[int], seed: int) -> list[Any] | None:
    """The rows, unless one moves a random generator: to seed before each of them costs more than many a row.

    The first tells of most sets that they draw, before the others are read in vain.
    """
    _seed_generators(seed)
    at_rest, items = _states(), list[Any]()
    for part in (positions[:1], positions[1:]):
        items += _read(dataset, part)
        if _states() != at_rest:
            return None
    return items


def _read(dataset: Any, positions: Sequence[int]) -> list[Any]:
    """As torch's own loader reads them."""
    many = getattr(dataset, "__getitems__", None)
    return list(many(positions)) if many and positions else [dataset[position] for position in positions]


def _seeded(dataset: Any, position: int, seed: int) -> Any:
    _seed_generators(seed)
    return dataset[position]


def handed_over(batch: Any, trainer: Trainer, module: LightningModule) -> Any:
    """A batch as the training loop hands it to the step: in the trainer's precision, past the hooks, on the device.

    On the CPU, with Lightning's own hooks, it is there already: to look through it for tensors would cost as much as
    to read it.
    """
    batch = trainer.precision_plugin.convert_input(batch)
    if trainer.strategy.root_device.type == "cpu" and _moved_by_lightning(trainer, module):
        return batch
    return trainer.strategy.batch_to_device(module._on_before_batch_transfer(batch))


def _moved_by_lightning(trainer: Trainer, module: LightningModule) -> bool:
    owners = [owner for owner in (module, getattr(trainer, "datamodule", None)) if owner is not None]
    methods = [getattr(owner, hook) for owner in owners for hook in HOOKS] + [trainer.strategy.batch_to_device]
    return all(method.__module__.partition(".")[0] in ("pytorch_lightning", "lightning") for method in methods)


def _states() -> tuple[Any, ...]:
    """Of the global random generators, to tell whether any was used."""
    _, words, *rest = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), np.asarray(words).tobytes(), rest, random.getstate()


def _seed_generators(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def generators_kept(root: Any) -> Iterator[None]:
    """Put back the state of every random generator that ``root`` holds, itself or in what it wraps, nearest first.

    The search ends after a thousand objects, not counting plain values, so that a set of many small ones costs no time.
    """
    undo = [put_back for held in islice(_held_by(root), MOST_OBJECTS) if (put_back := _keeper(held))]
    try:
        yield
    finally:
        for put_back in undo:
            put_back()


def _held_by(root: Any) -> Iterator[Any]:
    waiting, seen = deque([root]), set[int]()
    while waiting:
        thing = waiting.popleft()
        if id(thing) not in seen:
            seen.add(id(thing))
            parts = list(_parts(thing))
            if open_kinds := [kind for kind in set(map(type, parts)) if not issubclass(kind, LEAVES)]:
                waiting.extend(part for part in parts if type(part) in open_kinds)
            yield thing


def _parts(thing: Any) -> Iterable[Any]:
    if isinstance(thing, (type, ModuleType, FunctionType)):
        return ()
    if isinstance(thing, dict):
        return islice(thing.values(), MOST_OBJECTS)
    if isinstance(thing, (list, tuple)):
        return thing[:MOST_OBJECTS]
    return getattr(thing, "__dict__", {}).values()


def _keeper(thing: Any) -> Callable[[], Any] | None:
    """How to put a generator back as it is now; None for anything else."""
    if isinstance(thing, torch.Generator):
        return partial(thing.set_state, thing.get_state())
    if isinstance(thing, np.random.Generator):
        return partial(setattr, thing.bit_generator, "state", thing.bit_generator.state)
    if isinstance(thing, np.random.RandomState):
        return partial(thing.set_state, thing.get_state())
    if isinstance(thing, random.Random):
        return partial(thing.setstate, thing.getstate())
    return None
