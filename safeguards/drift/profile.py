"""What is kept of one side: exact counts of gaps and infinities, and a bounded sample of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from safeguards.core.errors import NotApplicable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "Kind", "Profile", "number_column", "profile", "refuse_repeated"]

Kind = Literal["number", "time", "words", "empty"]

COUNTED_VALUES = 100_000  # distinct words per column that are counted; beyond, a column has too many to list as unseen

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("boolean", "integer", "floating", "mixed-integer-float", "decimal"), "number"),
    **dict.fromkeys(("datetime", "datetime64", "date"), "time"),
    "empty": "empty",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of ``rows`` rows.

    ``values`` are the sampled rows' values that are neither gaps nor infinite: float64 numbers, float64 seconds since
    1970 (time), or words. ``counts`` are the rows of each word of the whole column, None when there are too many.
    ``loose`` says that the source has no types of its own (CSV) or declares codes as categories.
    """

    kind: Kind
    rows: int
    gaps: int
    infinities: int
    values: NDArray[Any]
    counts: Mapping[str, int] | None = None
    loose: bool = False


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One side of the comparison; ``sample`` holds its sampled rows as they are, for the page."""

    rows: int
    columns: Mapping[str, Column]
    sample: pd.DataFrame


def profile(
    frame: pd.DataFrame,
    *,
    sample: int,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    loose: bool = False,
) -> Profile:
    """Summarise a frame of any size; the memory beyond the frame grows with ``sample`` and not with its rows.

    Only ``columns``, where given, are kept; one that the frame lacks is left out. Raises `NotApplicable` when two
    columns have the same name.
    """
    frame = _named(frame, columns)
    places = _places(len(frame), sample, seed)
    return Profile(
        rows=len(frame),
        columns={name: _column(frame[name], places, loose) for name in frame.columns},
        sample=frame.iloc[places].reset_index(drop=True),
    )


def _named(frame: pd.DataFrame, columns: Sequence[str] | None) -> pd.DataFrame:
    frame = frame.set_axis([str(name) for name in frame.columns], axis="columns")
    if columns is not None:
        frame = frame.loc[:, [name in set(columns) for name in frame.columns]]
    refuse_repeated(list(frame.columns))
    return frame


def refuse_repeated(names: Sequence[str]) -> None:
    """Raise `NotApplicable` when two columns have the same name: judged by it, one would stand for both."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise NotApplicable(f"there are two columns named {twice[0]!r}: rename one, or leave it out of columns=")


def _places(rows: int, sample: int, seed: int) -> NDArray[np.int64]:
    if rows <= sample:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False, shuffle=False))


def _column(series: pd.Series[Any], places: NDArray[np.int64], loose: bool) -> Column:
    sampled = series.iloc[places].dropna()
    gaps = int(series.isna().sum())
    kind: Kind = "empty" if gaps == len(series) else _kind(sampled if len(sampled) else series.dropna().iloc[:1])
    common: dict[str, Any] = {"kind": kind, "rows": len(series), "gaps": gaps}
    if kind == "words":
        words = np.array([str(value) for value in sampled], dtype=object)
        loose = loose or series.dtype.name == "category"
        return Column(**common, infinities=0, values=words, counts=_counts(series), loose=loose)
    values = _numbers(sampled) if kind == "number" else _seconds(sampled) if kind == "time" else np.empty(0)
    infinities = _infinities(series) if kind == "number" else 0
    return Column(**common, infinities=infinities, values=values[np.isfinite(values)], loose=loose)


def number_column(values: NDArray[np.float32]) -> Column:
    """A column of n numbers (n,) that all are in the sample: what `profile` makes of it, without pandas."""
    given = values[~np.isnan(values)].astype(np.float64)
    finite = given[np.isfinite(given)]
    kind: Kind = "number" if len(given) else "empty"
    gaps = len(values) - len(given)
    return Column(kind=kind, rows=len(values), gaps=gaps, infinities=len(given) - len(finite), values=finite)


def _kind(sampled: pd.Series[Any]) -> Kind:
    from pandas.api import types

    if types.is_bool_dtype(sampled.dtype) or types.is_timedelta64_dtype(sampled.dtype):
        return "number"
    if types.is_numeric_dtype(sampled.dtype) and not types.is_complex_dtype(sampled.dtype):
        return "number"
    if types.is_datetime64_any_dtype(sampled.dtype):
        return "time"
    return _KINDS.get(types.infer_dtype(sampled, skipna=True), "words")


def _numbers(series: pd.Series[Any]) -> NDArray[np.float64]:
    if series.dtype.kind == "m":
        return np.asarray(series.dt.total_seconds(), dtype=np.float64)
    return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))


def _seconds(series: pd.Series[Any]) -> NDArray[np.float64]:
    import pandas as pd

    moments = pd.to_datetime(series, utc=True, errors="coerce").dropna()
    return moments.astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1e6


def _infinities(series: pd.Series[Any]) -> int:
    if series.dtype.kind in "iubm":
        return 0
    return int(np.isinf(_numbers(series)).sum())


def _counts(series: pd.Series[Any]) -> Mapping[str, int] | None:
    counted = series.value_counts(sort=False)
    if len(counted) > COUNTED_VALUES:
        return None
    found: dict[str, int] = {}
    for value, count in zip(counted.index, counted.to_numpy(), strict=True):
        found[str(value)] = found.get(str(value), 0) + int(count)
    return {word: count for word, count in found.items() if count}
