"""How to read inputs, target, groups and row ids out of a user's batch, whatever its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from safeguards.core.columns import Column, columns_beside, read_labels
from safeguards.core.errors import ConfigurationError, FieldError

__all__ = ["BatchFields", "Found", "Selector", "first_tensor", "select", "take"]

PLAIN = (str, bytes, int, float, type(None))
PLACES = (int, np.integer, str)
Selector = int | str | Callable[[Any], Any]


class Found(dict[Any, Any]):
    """Fields by where they were found: what is selected in it is there already."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchFields:
    """Where the fields of a batch are.

    ``inputs``, ``target`` and ``row_id`` are a position (``0``), a key (``"image"``), a path of keys, attributes and
    positions (``"patient.sex"``, ``"0.pixels"``) or a function of the batch. ``groups`` names sensitive attributes;
    each is one of those, or a column with the labels of the validation set's rows: then the batch need not carry them.
    For a test, or several loaders, a column is given per stage ("validate", "test") or loader name, as in
    ``groups={"sex": {"validate": a, "test": b}}``.

    An array or list has one label per row, in the set's order. So has a Series or data frame without ``row_id``, and
    its index must be 0 to n-1. With ``row_id`` its index holds the row ids, as do the keys of a mapping: each row gets
    the label of its id, from any loader and on any number of processes; an id without a label is an error, labels that
    no row asks for are not. There an index 0 to n-1 without a name may be row ids or count the rows, so it is taken
    only for rows that get the same label either way, their id being their position or none of 0 to n-1.

    Two are equal that find the same by positions, keys and paths; a function or a column is equal to itself alone.

    Raises `ConfigurationError` for what says no place, and `FieldError` for a column of which it cannot be told whose
    its labels are: another index without ``row_id``, or an id that occurs twice.
    """

    inputs: Selector
    target: Selector | None = None
    groups: Mapping[str, Any] = field(default_factory=dict)
    row_id: Selector | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "target", "row_id"):
            value = getattr(self, name)
            if value is not None and not is_selector(value):
                raise ConfigurationError(
                    f"BatchFields({name}={type(value).__name__}): expected a position, a key, a path or a function"
                )
        if not isinstance(self.groups, Mapping):
            raise ConfigurationError(
                f"BatchFields(groups={type(self.groups).__name__}): expected names, as in groups={{'sex': 2}}"
            )
        for name, source in self.groups.items():
            if not is_selector(source) and not hasattr(source, "__len__"):
                raise ConfigurationError(
                    f"BatchFields(groups={{{name!r}: {type(source).__name__}}}): expected a position, a key, a path, "
                    "a function, or a column with a label per row"
                )
        self._beside  # noqa: B018 - a column that cannot be read is told here, not in the first validation

    def __eq__(self, other: object) -> bool:
        """Whether what is read by one need not be read by the other: batches are read once for equal ones."""
        if not isinstance(other, BatchFields) or list(self.groups) != list(other.groups):
            return False
        return all(map(_same_place, self._sources, other._sources))

    def __hash__(self) -> int:
        return hash(self.keys)

    @property
    def _sources(self) -> list[Any]:
        return [self.inputs, self.target, self.row_id, *self.groups.values()]

    @cached_property
    def keys(self) -> tuple[int | str, ...] | None:
        """Where in a batch the fields are; None where a function finds one."""
        asked = [self.inputs, *(where for _, where in self.beside_inputs)]
        return None if any(map(callable, asked)) else tuple(cast(list[int | str], asked))

    @cached_property
    def beside_inputs(self) -> list[tuple[str, Selector]]:
        """Name and place of every other field that a batch carries."""
        sources = {"target": self.target, "row_id": self.row_id}
        sources |= {f"groups[{name!r}]": source for name, source in self.groups.items()}
        return [(name, source) for name, source in sources.items() if source is not None and is_selector(source)]

    def group_labels(
        self, batch: Any, positions: Tensor | None, size: int | None, whose: str = "validate"
    ) -> dict[str, list[Any]]:
        """One plain label per row and attribute.

        ``positions`` are the rows' places in a set of ``size`` rows; ``whose`` is the name of the loader where there
        are several, else the stage.
        """
        return {name: self._labels(name, batch, positions, size, whose) for name in self.groups}

    @cached_property
    def _beside(self) -> dict[str, dict[str, Column]]:
        """The attributes that are columns beside the set: by name, then by stage or loader."""
        return {
            name: columns_beside(source, f"groups[{name!r}]", with_row_id=self.row_id is not None)
            for name, source in self.groups.items()
            if not is_selector(source)
        }

    def _labels(self, name: str, batch: Any, positions: Tensor | None, size: int | None, whose: str) -> list[Any]:
        source, field_name = self.groups[name], f"groups[{name!r}]"
        if is_selector(source):
            return read_labels(select(batch, source, field_name), field_name)
        column = _of_stage(self._beside[name], whose, field_name)
        return column.of_rows(lambda: self._ids(batch), positions, size)

    def _ids(self, batch: Any) -> list[Any]:
        return read_labels(select(batch, cast(Selector, self.row_id), "row_id"), "row_id")


def _of_stage(columns: Mapping[str, Column], whose: str, field_name: str) -> Column:
    """The column of this stage or loader: rows of another set must never meet it, not even when as many."""
    if whose not in columns:
        raise FieldError(
            f"{field_name} is a column beside the rows of {sorted(columns)}, not of {whose!r}: "
            f"read the groups from the batch, or give {{{whose!r}: column, ...}}"
        )
    return columns[whose]


def is_selector(value: Any) -> bool:
    """Whether a value says where to look, rather than being the labels themselves."""
    return isinstance(value, PLACES) or callable(value)


def _same_place(one: Any, other: Any) -> bool:
    """Functions and columns have an equality of their own, which may be no answer: one of each row, say."""
    return one is other or (isinstance(one, PLACES) and isinstance(other, PLACES) and one == other)


def select(batch: Any, selector: Selector, name: str) -> Any:
    """The field ``name`` of a batch. Raises `FieldError` with the field, the batch's type and its keys."""
    if isinstance(batch, Found):
        return batch[selector]
    if callable(selector):
        return _call(batch, selector, name)
    if isinstance(selector, str) and isinstance(batch, Mapping) and selector in batch:
        return batch[selector]
    found = batch
    for step in selector.split(".") if isinstance(selector, str) else (selector,):
        found = _step(found, step, batch, selector, name)
    return found


def _call(batch: Any, function: Callable[[Any], Any], name: str) -> Any:
    try:
        return function(batch)
    except Exception as error:
        called = getattr(function, "__name__", type(function).__name__)
        text = f"{type(error).__name__}: {error}"
        raise FieldError(f"{name}: {called} failed on {_shape_of(batch)}: {text}") from error


def _step(found: Any, step: int | str, batch: Any, selector: Selector, name: str) -> Any:
    if isinstance(found, Mapping) and step in found:
        return found[step]
    if isinstance(step, str) and not step.lstrip("-").isdigit():
        if not isinstance(found, Mapping) and hasattr(found, step):
            return getattr(found, step)
    elif isinstance(found, Sequence) and not isinstance(found, str) and -len(found) <= int(step) < len(found):
        return found[int(step)]
    raise FieldError(f"{name}={selector!r} is not in the batch: it is {_shape_of(batch)}")


def _shape_of(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"a {type(batch).__name__} with keys {sorted(map(str, batch))}"
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return f"a {type(batch).__name__} with positions 0 to {len(batch) - 1}"
    if isinstance(batch, Tensor):
        return f"a single Tensor of shape {tuple(batch.shape)}"
    names: list[str] = list(getattr(batch, "__dataclass_fields__", ()) or getattr(batch, "__dict__", ()))
    return f"a {type(batch).__name__} with attributes {sorted(names)}"


def first_tensor(tree: Any) -> Tensor | None:
    """The first tensor with rows in a tensor, or in a nested dict, list or tuple of tensors."""
    if isinstance(tree, Tensor):
        return tree if tree.ndim else None
    parts = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, (list, tuple)) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def take(tree: Any, index: Tensor | int) -> Any:
    """The chosen rows of every tensor, and of every list of plain values, in a nested structure."""
    if isinstance(tree, Tensor):
        return tree[index] if tree.ndim else tree
    if isinstance(tree, Mapping):
        return {key: take(value, index) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(take(value, index) for value in tree))
    if isinstance(tree, (list, tuple)):
        if isinstance(index, Tensor) and tree and all(isinstance(value, PLAIN) for value in tree):
            return type(tree)(tree[i] for i in index.tolist())
        return type(tree)(take(value, index) for value in tree)
    return tree


def rows_of(tree: Any, name: str) -> int:
    """How many rows a field has. Raises `FieldError` when it holds no tensor."""
    tensor = first_tensor(tree)
    if tensor is None:
        raise FieldError(
            f"{name} holds no tensor with rows: it is {type(tree).__name__}; name a tensor, or a dict, list or tuple "
            "of tensors"
        )
    return len(tensor)


def ordinary(tree: Any) -> Any:
    """The same structure with inference tensors cloned into ordinary ones, which gradients may pass.

    A structure without any is given back as it is, whatever its class.
    """
    return _cloned(tree) if _any_inference(tree) else tree


def _any_inference(tree: Any) -> bool:
    if isinstance(tree, Tensor):
        return tree.is_inference()
    parts = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, (list, tuple)) else ()
    return any(map(_any_inference, parts))


def _cloned(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.clone() if tree.is_inference() and not torch.is_inference_mode_enabled() else tree
    if isinstance(tree, Mapping):
        return {key: _cloned(value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_cloned(value) for value in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(_cloned(value) for value in tree)
    return tree
