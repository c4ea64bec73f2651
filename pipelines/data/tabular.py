"""A table of your own, from a CSV or Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from pipelines.data.encoding import Encoder
from pipelines.data.labels import refuse_unlabelled, targets_of
from pipelines.data.rows import RowData, Rows
from pipelines.data.schema import Kind, conform, labels_of, read_table
from pipelines.data.split import SPLITS, Split, as_row_ids, refuse_unidentified, refuse_untested, split_by_hash

__all__ = ["TabularData"]


class TabularData(RowData):
    """Classification of the rows of a table.

    ``schema`` says what each column is: number, category, datetime or text; other columns are left out. ``target``
    names the column to predict, ``target_values`` its values in the order of the classes (default: those of training,
    sorted). ``sensitive`` names the attributes that fairness looks at: null takes the column as it is, a list of edges
    cuts a number into bands, under the batch key ``<column>_group``. ``inputs`` are the number and category columns
    that the model sees (default: all but the target). ``row_id`` names the column that identifies a row (default: its
    place in the file); its hash decides which split the row is in. With ``split_column`` the table says that itself,
    and only a split "validation" that it lacks is taken from its training rows. Words of ``missing`` are gaps in a CSV.

    ``test_path`` is another such file: its test rows are then judged in place of this one's, so that a model can be
    judged on rows that came after the data it learned from. Not all its rows are test rows: it is split as this one, by
    the hash of its ids (``test_share`` of them) or by its own ``split_column``. The target of its test rows may be
    missing, in all or in some: those have no label yet, and -1 for a target. It needs a ``row_id``: a place in another
    file is no identity. Ids 1, 1.0 and "1" are one row.

    Raises ``ValueError`` in one line for an argument that does not fit the table, and with their number for rows of
    ``path`` to learn from or to judge without a target, and for test rows of ``test_path`` that are rows to learn from.
    """

    def __init__(
        self,
        *,
        path: str,
        schema: Mapping[str, Kind],
        target: str,
        test_path: str | None = None,
        target_values: Sequence[str] | None = None,
        sensitive: Mapping[str, Sequence[float] | None] | None = None,
        inputs: Sequence[str] | None = None,
        row_id: str | None = None,
        split_column: str | None = None,
        validation_share: float = 0.15,
        test_share: float = 0.15,
        missing: Sequence[str] = ("", "?"),
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size)
        if test_path is not None and row_id is None:
            raise ValueError(f"test_path={test_path!r}: name the column that identifies a row by row_id")
        self.path, self.test_path = path, test_path
        self.schema = dict(schema)
        self.target = target
        self.target_values = target_values
        self.sensitive = dict(sensitive or {})
        self.row_id = row_id
        self.split_column = split_column
        self.shares = {"validation": validation_share, "test": test_share}
        self.missing = missing
        self.seed = seed
        self.inputs = self._input_columns(inputs)
        self._feature_names: tuple[str, ...] = ()
        self._frames: dict[Split, pd.DataFrame] = {}

    def _input_columns(self, inputs: Sequence[str] | None) -> list[str]:
        for name in (self.target, *self.sensitive, *(inputs or ())):
            if name not in self.schema:
                raise ValueError(f"column {name!r} is not in the schema, which has {', '.join(map(repr, self.schema))}")
        usable = [name for name, kind in self.schema.items() if kind in ("number", "category") and name != self.target]
        unusable = [name for name in inputs or () if name not in usable]
        if unusable:
            raise ValueError(f"inputs={unusable}: expected number or category columns other than the target")
        return list(inputs or usable)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each feature of the inputs is: a column of numbers, or ``column=value``."""
        self.setup()
        return self._feature_names

    def frame(self, split: Split) -> pd.DataFrame:
        """The rows of a split in their order, as the source has them, indexed by row id."""
        self.rows(split)
        return self._frames[split]

    def read(self) -> pd.DataFrame:
        """The source's table; a subclass may have another source than ``path``."""
        return read_table(self.path, missing=self.missing)

    def build(self) -> dict[Split, Rows]:
        frames = self._frames = self._split(self.read(), self.schema)
        learned = [frames["train"], frames["validation"]]
        if self.test_path is None:
            refuse_unlabelled(frames.values(), self.target)
        else:
            refuse_unlabelled(learned, self.target)
            frames["test"] = self._later(self.test_path, learned=pd.concat(learned).index)
        encoder = Encoder.fit(
            frames["train"],
            numbers=[name for name in self.inputs if self.schema[name] == "number"],
            categories=[name for name in self.inputs if self.schema[name] == "category"],
        )
        self._feature_names = encoder.names
        classes = self._classes(frames["train"])
        return {split: self._rows_of(frame, encoder, classes) for split, frame in frames.items()}

    def _identified(self, table: pd.DataFrame) -> pd.DataFrame:
        if self.row_id is None:
            return table.reset_index(drop=True).rename_axis("row")
        if self.row_id not in table.columns:
            raise ValueError(f"row_id={self.row_id!r} is no column: name one of {', '.join(map(repr, table.columns))}")
        refuse_unidentified(table[self.row_id])
        return table.set_index(self.row_id)

    def _later(self, path: str, *, learned: pd.Index) -> pd.DataFrame:
        """The test rows of another file, which may lack their labels, and so the column."""
        table = read_table(path, missing=self.missing)
        optional = {self.target} - {*self.sensitive, *table.columns}
        later = self._split(table, {name: kind for name, kind in self.schema.items() if name not in optional})["test"]
        refuse_untested(path, test=len(later), rows=len(table), remedy=self._remedy())
        if known := int(np.isin(as_row_ids(later.index), as_row_ids(learned)).sum()):
            raise ValueError(
                f"{known} test rows of {path} are rows to learn from in {self.path}; leave them out of either"
            )
        return later

    def _remedy(self) -> str:
        if self.split_column is not None:
            return f'give it rows of which {self.split_column!r} says "test"'
        return f"give it more, or raise test_share={self.shares['test']}"

    def _split(self, table: pd.DataFrame, schema: Mapping[str, Kind]) -> dict[Split, pd.DataFrame]:
        identified = self._identified(table)
        split = self._split_names(identified)
        frame = conform(identified, schema)
        return {name: frame[split == name] for name in SPLITS}

    def _split_names(self, table: pd.DataFrame) -> pd.Series:
        if self.split_column is None:
            return pd.Series(split_by_hash(table.index, **self.shares, seed=self.seed), index=table.index)
        if self.split_column not in table.columns:
            known = ", ".join(map(repr, table.columns))
            raise ValueError(f"split_column={self.split_column!r} is no column: name one of {known}")
        given = table[self.split_column]
        if (given == "validation").any():
            return given
        drawn = split_by_hash(table.index, validation=self.shares["validation"], test=0.0, seed=self.seed)
        return given.where(given != "train", pd.Series(drawn, index=table.index))

    def _classes(self, training: pd.DataFrame) -> dict[object, int]:
        values = self.target_values or sorted(set(training[self.target].dropna()))
        return {value: number for number, value in enumerate(values)}

    def _rows_of(self, frame: pd.DataFrame, encoder: Encoder, classes: Mapping[object, int]) -> Rows:
        return Rows(
            inputs=torch.from_numpy(encoder.encode(frame)),
            target=targets_of(frame[self.target], classes) if self.target in frame else None,
            row_id=torch.from_numpy(as_row_ids(frame.index)),
            groups={_key(name, bands): labels_of(frame[name], bands) for name, bands in self.sensitive.items()},
        )


def _key(column: str, bands: Sequence[float] | None) -> str:
    return f"{column}_group" if bands else column
