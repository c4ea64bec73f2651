"""A column of labels that lies beside a data set, and which of them is whose: by row id, or by place in the set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor

from safeguards.core.errors import FieldError

__all__ = ["Column", "columns_beside", "read_labels"]

NAMED = 3
"""How many row ids an error names."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """Labels with, where they carry row ids, the place of each id.

    ``in_order``: they stand in the set's order, and are looked up by position. Where they have ``places`` too, nobody
    said whether those are row ids or count the rows: rows that would get another label by their id are refused.
    """

    name: str
    labels: list[Any]
    places: dict[Any, int]
    in_order: bool

    @classmethod
    def of(cls, source: Any, name: str, *, with_row_id: bool) -> Column:
        """Read an array, list, Series, data frame of one column, or mapping of row ids to labels.

        Raises `FieldError` for labels whose order cannot be told, and for row ids that have several labels.
        """
        if isinstance(source, Mapping):
            ids, default = list(source), False
            source = list(source.values())
        elif hasattr(source, "iloc"):
            ids, default = source.index.tolist(), _counts(source.index)
        else:
            return cls(name=name, labels=read_labels(source, name), places={}, in_order=True)
        labels = read_labels(source, name)
        if not with_row_id:
            return cls._without_row_id(name, labels, default or ids == list(range(len(ids))))
        places = {row_id: place for place, row_id in enumerate(ids)}
        if len(places) < len(ids):
            repeated = [row_id for place, row_id in enumerate(ids) if places[row_id] != place]
            raise FieldError(f"{name} has several labels for row_id {_some(repeated)}; leave one for each")
        return cls(name=name, labels=labels, places=places, in_order=default)

    @classmethod
    def _without_row_id(cls, name: str, labels: list[Any], in_order: bool) -> Column:
        if in_order:
            return cls(name=name, labels=labels, places={}, in_order=True)
        raise FieldError(
            f"{name} has an index of its own, not 0 to {len(labels) - 1}, and nothing says whose labels these are: "
            "give row_id= if the index holds row ids, or the column's .to_numpy() if it is in the set's order"
        )

    def of_rows(self, ids: Callable[[], list[Any]], positions: Tensor | None, size: int | None) -> list[Any]:
        """One label per row. ``ids`` reads their row ids; ``positions`` are places in a set of ``size`` rows.

        Raises `FieldError` for rows without a label, and where it cannot be told which label is theirs.
        """
        if not self.in_order:
            return self._of_ids(ids())
        if size is not None and len(self.labels) != size:
            raise FieldError(
                f"{self.name} has {len(self.labels)} labels for a validation set of {size} rows; give one for each"
            )
        if self.places:
            self._refuse_two_answers(ids(), positions)
        if positions is None:
            raise FieldError(
                f"{self.name} is a column beside the set, but the loader's rows have no known position: use an "
                "unshuffled loader, a Series indexed by row id with row_id=, or read the groups from the batch"
            )
        return [self.labels[place] for place in positions.tolist()]

    def _of_ids(self, ids: list[Any]) -> list[Any]:
        if missing := [row_id for row_id in ids if row_id not in self.places]:
            raise FieldError(
                f"{self.name} has no label for row_id {_some(missing)}: it is looked up by row id; give one for each, "
                "None where it is not known"
            )
        return [self.labels[self.places[row_id]] for row_id in ids]

    def _refuse_two_answers(self, ids: list[Any], positions: Tensor | None) -> None:
        places = [None] * len(ids) if positions is None else positions.tolist()
        for row_id, place in zip(ids, places, strict=True):
            if self.places.get(row_id, place) != place:
                where = "no known position" if place is None else f"position {place}"
                raise FieldError(
                    f"{self.name}: the row with row_id {row_id!r} is at {where}, and the index 0 to "
                    f"{len(self.labels) - 1} may be row ids or count the rows: give .rename_axis('row_id') if it is "
                    "row ids, .to_numpy() if the column is in the set's order"
                )


def columns_beside(source: Any, name: str, *, with_row_id: bool) -> dict[str, Column]:
    """The columns of an attribute by stage or loader name; a single one is that of the validation set."""
    several = isinstance(source, Mapping) and any(map(_holds_rows, source.values()))
    columns = source if several else {"validate": source}
    return {str(whose): Column.of(column, name, with_row_id=with_row_id) for whose, column in columns.items()}


def _holds_rows(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes))


def _counts(index: Any) -> bool:
    """Whether an index is what a Series has when nobody gave it one: 0 to n-1, without a name."""
    return index.name is None and index.tolist() == list(range(len(index)))


def _some(ids: Sequence[Any]) -> str:
    named = ", ".join(map(repr, islice(dict.fromkeys(ids), NAMED)))
    return named if len(ids) <= NAMED else f"{named}, ... ({len(ids)} rows)"


def read_labels(values: Any, name: str) -> list[Any]:
    """Plain python labels, one per row, from a tensor, array, Series or sequence."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    labels = _of_times(values) if _are_times(values) else values.tolist() if hasattr(values, "tolist") else values
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Sequence):
        raise FieldError(f"{name} gave a {type(values).__name__}: expected one label per row")
    if labels and isinstance(labels[0], (list, tuple)):
        if any(len(label) != 1 for label in labels):
            raise FieldError(f"{name} gave {len(labels[0])} values per row: expected one label per row")
        return [label[0] for label in labels]
    return list(labels)


def _are_times(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "mM"


def _of_times(values: np.ndarray[Any, Any]) -> list[Any]:
    """As texts, because numpy gives those with nanoseconds as bare counts, and a gap as the smallest of them."""
    gaps = np.isnat(values).tolist()
    return [None if gap else text for gap, text in zip(gaps, values.astype(str).tolist(), strict=True)]
