"""Labels beside a data set: by row id or by place, and refused where it cannot be told which."""

from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.columns import Column, columns_beside
from safeguards.core.errors import FieldError

PATIENTS = pd.Series(["f", "m", "f"], index=["p7", "p1", "p3"])


def labels(source: Any, ids: list[Any], positions: list[int] | None = None, size: int | None = None) -> list[Any]:
    column = Column.of(source, "groups['sex']", with_row_id=True)
    return column.of_rows(lambda: ids, None if positions is None else torch.tensor(positions), size)


@pytest.mark.parametrize("source", [PATIENTS, PATIENTS.to_frame(), PATIENTS.astype("category"), PATIENTS.to_dict()])
def test_labels_are_those_of_the_row_ids(source: Any) -> None:
    assert labels(source, ["p1", "p3", "p1"]) == ["m", "f", "m"]
    assert labels(source, ["p3"], positions=[0], size=1) == ["f"]


@given(st.data())
def test_the_same_as_pandas_gives(data: st.DataObject) -> None:
    unlike = st.one_of(st.integers(-5, 30), st.text("ab", max_size=2))
    index = data.draw(st.lists(unlike, min_size=1, max_size=12, unique=True))
    series = pd.Series(data.draw(st.permutations(range(len(index)))), index=pd.Index(index, dtype=object, name="id"))
    asked = data.draw(st.lists(st.sampled_from(index), max_size=20))
    assert labels(series, asked) == [series.loc[row_id] for row_id in asked]
    assert labels(series.sort_index(key=lambda each: each.map(repr)), asked) == [series.loc[each] for each in asked]


def test_ids_without_a_label_are_named_and_so_are_those_with_several() -> None:
    with pytest.raises(
        FieldError, match=r"has no label for row_id 'p2', 'p4', 'p5', \.\.\. \(4 rows\).*; give one for each"
    ):
        labels(PATIENTS, ["p1", "p2", "p4", "p5", "p6"])
    with pytest.raises(
        FieldError, match=r"groups\['sex'\] has several labels for row_id 'p1', 'p3'; leave one for each$"
    ):
        labels(pd.Series(list("abcd"), index=["p1", "p3", "p3", "p1"]), [])


@pytest.mark.parametrize(("ids", "positions"), [([2, 0], [2, 0]), (["x", "y"], [2, 0]), ([103, 104], [2, 0])])
def test_an_index_that_counts_is_taken_where_ids_and_places_agree(ids: list[Any], positions: list[int]) -> None:
    assert labels(pd.Series(list("abc")), ids, positions, 3) == ["c", "a"]


@pytest.mark.parametrize(("ids", "positions"), [([2, 1], [2, 0]), ([1, 2, 3], [0, 1, 2]), ([0], None)])
def test_an_index_that_counts_is_refused_where_ids_and_places_differ(
    ids: list[Any], positions: list[int] | None
) -> None:
    with pytest.raises(FieldError, match=r"may be row ids or count the rows: .*rename_axis.*to_numpy"):
        labels(pd.Series(list("abc")), ids, positions, 3)


def test_a_name_says_that_an_index_which_counts_holds_row_ids() -> None:
    named = pd.Series(list("abc")).rename_axis("patient")
    assert labels(named, [2, 1], [0, 1], 3) == labels(named, [2, 1]) == ["c", "b"]


def test_arrays_stay_in_the_order_of_the_set_whatever_the_ids() -> None:
    assert labels(list("abc"), [2, 1], [0, 1], 3) == ["a", "b"]
    assert labels(PATIENTS.to_numpy(), ["p7", "p1"], [1, 2], 3) == ["m", "f"]
    assert labels(torch.tensor([5, 6, 7]), ["p", "q"], [0, 2], 3) == [5, 7]
    with pytest.raises(FieldError, match="no known position"):
        labels(list("abc"), [0, 1])


def test_a_longer_column_serves_by_id_and_not_by_place() -> None:
    assert labels(PATIENTS, ["p1", "p1"], positions=[0, 1], size=2) == ["m", "m"]
    with pytest.raises(FieldError, match=r"3 labels for a validation set of 2 rows; give one for each$"):
        labels(list("abc"), [0, 1], positions=[0, 1], size=2)


def test_a_mapping_is_of_stages_where_it_holds_columns_and_of_row_ids_where_it_holds_labels() -> None:
    by_stage = columns_beside({"validate": list("ab"), "test": PATIENTS}, "sex", with_row_id=True)
    assert sorted(by_stage) == ["test", "validate"]
    assert list(columns_beside({"p1": "m", "p2": None}, "sex", with_row_id=True)) == ["validate"]
    with pytest.raises(FieldError, match="give row_id="):
        columns_beside({"p1": "m", "p2": None}, "sex", with_row_id=False)
