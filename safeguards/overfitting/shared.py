"""Rows that stand on both sides of the gap: what a model is trained on is not new to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Subset

__all__ = ["count_shared"]

Places = npt.NDArray[np.int64]


def count_shared(trained_on: Any, drawn: Sequence[int], seen_in: Any, seen: Tensor) -> int:
    """How many of the positions ``seen`` (N,) of one data set are rows that the positions ``drawn`` of another are.

    Rows are known to be the same where both read one data set, itself or through `Subset`. Copies are not.
    """
    if list(_layers(trained_on))[-1] is not list(_layers(seen_in))[-1]:
        return 0
    return int(np.isin(_at_the_root(seen_in, seen.numpy()), _at_the_root(trained_on, _array(drawn))).sum())


def _layers(dataset: Any) -> Iterator[Any]:
    """The data set, and what it is a subset of, and so on."""
    yield dataset
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
        yield dataset


def _at_the_root(dataset: Any, places: Places) -> Places:
    """Where the rows at these places stand in the innermost data set."""
    for layer in _layers(dataset):
        if isinstance(layer, Subset):
            places = _array(layer.indices)[places]
    return places


def _array(places: Sequence[int]) -> Places:
    """A range by its ends: to read it number by number takes longer than all the rest."""
    if isinstance(places, range):
        return np.arange(places.start, places.stop, places.step)
    return np.asarray(places, dtype=np.int64)
