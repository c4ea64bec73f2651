from __future__ import annotations

import datetime
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from safeguards.core.errors import NotApplicable
from safeguards.drift.profile import Column, profile


def column(values: object, **options: object) -> Column:
    return profile(pd.DataFrame({"x": values}), sample=100, **options).columns["x"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 2, 3], "number", [1, 2, 3]),
        ([True, False, True], "number", [1, 0, 1]),
        (pd.array([1, None, 3], dtype="Int64"), "number", [1, 3]),
        (np.array([Decimal("1.5"), Decimal("2.5"), None], dtype=object), "number", [1.5, 2.5]),
        (pd.to_timedelta([1, 2], unit="min"), "number", [60, 120]),
        (pd.to_datetime(["1970-01-01", "1970-01-02"]), "time", [0, 86400]),
        (pd.to_datetime(["1970-01-01", None]).tz_localize("Etc/GMT-1"), "time", [-3600]),
        (np.array([datetime.date(1970, 1, 2)], dtype=object), "time", [86400]),
        (["a", None, "b"], "words", ["a", "b"]),
        (pd.Categorical([1, 2, 1]), "words", ["1", "2", "1"]),
        (np.array(["a", 1, ("t",)], dtype=object), "words", ["a", "1", "('t',)"]),
        ([None, None], "empty", []),
        ([np.nan, np.nan], "empty", []),
    ],
)
def test_kinds(values: object, kind: str, expected: list[object]) -> None:
    found = column(values)
    assert (found.kind, found.values.tolist()) == (kind, expected)


def test_gaps_and_infinities_are_counted_over_all_rows() -> None:
    values = np.r_[np.full(300, np.nan), np.full(400, np.inf), np.full(100, -np.inf), np.arange(1000.0)]
    found = profile(pd.DataFrame({"x": values}), sample=50).columns["x"]
    assert (found.rows, found.gaps, found.infinities) == (1800, 300, 500)
    assert np.isfinite(found.values).all()
    assert len(found.values) <= 50


def test_words_are_counted_over_all_rows_unless_there_are_too_many() -> None:
    assert column(["a", "b", "a", None]).counts == {"a": 2, "b": 1}
    assert profile(pd.DataFrame({"x": np.arange(100_001).astype(str)}), sample=10).columns["x"].counts is None


def test_values_that_are_no_words_are_compared_by_their_text() -> None:
    assert column(pd.Series([["a"], {"b": 1}])).counts == {"['a']": 1, "{'b': 1}": 1}


def test_the_sample_is_the_same_for_a_seed_and_spread_over_the_frame() -> None:
    frame = pd.DataFrame({"x": np.arange(10_000.0)})
    first, again, other = (profile(frame, sample=500, seed=seed).columns["x"].values for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert first.mean() == pytest.approx(5000, abs=500)


def test_columns_are_chosen_and_names_are_text() -> None:
    frame = pd.DataFrame({0: [1.0], "b": [2.0]})
    assert list(profile(frame, sample=10).columns) == ["0", "b"]
    assert list(profile(frame, sample=10, columns=["b", "none"]).columns) == ["b"]


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(NotApplicable, match="two columns named 'a'"):
        profile(pd.DataFrame([[1, 2]], columns=["a", "a"]), sample=10)


def test_memory_beyond_the_frame_does_not_grow_with_its_rows() -> None:
    kept = []
    for rows in (20_000, 200_000):
        frame = pd.DataFrame(np.random.default_rng(0).normal(size=(rows, 5))).assign(word=["a", "b"] * (rows // 2))
        tracemalloc.start()
        known = profile(frame, sample=500)
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(known.sample) == 500
    assert kept[1] < 1.2 * kept[0]
