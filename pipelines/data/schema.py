"""Reading a table and holding it against a schema: what each column is, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

__all__ = ["MISSING", "Kind", "conform", "labels_of", "read_table", "word"]

Kind = Literal["number", "category", "datetime", "text"]
MISSING = "missing"


def read_table(path: str | Path, *, missing: Sequence[str] = ("", "?")) -> pd.DataFrame:
    """A CSV (also ``.csv.gz``) or Parquet file as it stands; in a CSV the words of ``missing`` are gaps, no others."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the path of a .csv, .csv.gz or .parquet file")
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, na_values=list(missing), keep_default_na=False, skipinitialspace=True, dtype=str)


def conform(frame: pd.DataFrame, schema: Mapping[str, Kind]) -> pd.DataFrame:
    """The columns of the schema, each as its kind: float64, text, or datetime64; gaps stay gaps.

    Raises ``ValueError`` naming the column that is absent, or the first value that is not of its column's kind.
    """
    absent = [name for name in schema if name not in frame.columns]
    if absent:
        raise ValueError(f"the table has no column {absent[0]!r}; it has {', '.join(map(repr, frame.columns))}")
    return pd.DataFrame({name: _as_kind(frame[name], kind) for name, kind in schema.items()}, index=frame.index)


def _as_kind(column: pd.Series, kind: Kind) -> pd.Series:
    if kind in ("category", "text"):
        return column.map(word, na_action="ignore").astype(object)
    convert = pd.to_numeric if kind == "number" else pd.to_datetime
    found: pd.Series = convert(column, errors="coerce")
    wrong = found.isna() & column.notna()
    if wrong.any():
        row, value = next(iter(column[wrong].items()))
        raise ValueError(
            f"column {column.name!r} is a {kind}, but row {row!r} holds {value!r}; mend the row or the schema"
        )
    return found.astype("float64") if kind == "number" else found


def word(value: object) -> str:
    """A category's name: 1, 1.0 and " 1" are one category, not three."""
    if isinstance(value, (float, np.floating)) and value.is_integer():
        value = int(value)
    return str(value).strip()


def labels_of(column: pd.Series, bands: Sequence[float] | None) -> list[str]:
    """One plain label per row of a sensitive column; a gap is the label "missing", a group of its own.

    ``bands`` are the ascending edges that cut a column of numbers: [45, 60] gives "under 45", "45 to under 60" and
    "60 and over".
    """
    if not bands:
        return [str(value) for value in column.where(column.notna(), MISSING)]
    if column.dtype.kind != "f":
        raise ValueError(f"sensitive column {column.name!r} has bands {list(bands)}, which need a column of numbers")
    edges = [float("-inf"), *bands, float("inf")]
    cut = pd.cut(column, edges, right=False, labels=_band_names(bands)).astype(object)
    return [str(value) for value in cut.where(column.notna(), MISSING)]


def _band_names(bands: Sequence[float]) -> list[str]:
    between = [f"{low:g} to under {high:g}" for low, high in pairwise(bands)]
    return [f"under {bands[0]:g}", *between, f"{bands[-1]:g} and over"]
