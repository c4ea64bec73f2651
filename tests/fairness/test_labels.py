"""Names of groups: one per group, whatever type a column has, on every process."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards.core.errors import FieldError
from safeguards.fairness.labels import MISSING, coded, crossed, in_order, label_of, show, spellings


def labels_of(values, attribute):
    """The label of each row."""
    groups, place = coded(values, attribute)
    return [groups[at][0] for at in place]


def test_numbers_that_are_equal_are_one_label():
    assert labels_of([1, 1.0, True, np.int64(1), np.float32(1)], "sex") == [("number", "1")] * 5
    assert labels_of([0.5, -0.0, 0], "sex") == [("number", "0.5"), ("number", "0"), ("number", "0")]


def test_large_identifiers_stay_apart():
    assert len(set(labels_of([2**60, 2**60 + 1, 10**400], "sex"))) == 3


def test_everything_missing_is_one_group():
    assert labels_of([None, math.nan, float("nan"), pd.NA, pd.NaT, np.float64("nan")], "sex") == [MISSING] * 6


def test_texts_stay_as_they_are():
    assert labels_of(["F", " F", ""], "sex") == [("text", "F"), ("text", " F"), ("text", "")]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([("a", "b")], r"a label is of type tuple, .*; give texts or numbers, as \.astype\(str\) makes"),
        ([["a"]], "unhashable"),
        ([b"F"], "bytes"),
        (["x" * 201], "201 characters; free text is no group, give short names"),
    ],
)
def test_what_cannot_name_a_group_is_an_error_with_the_attribute(values, word):
    with pytest.raises(FieldError, match=word) as caught:
        labels_of(values, "sex")
    assert "'sex'" in str(caught.value)


def test_spellings_name_what_looks_alike():
    labels = labels_of(["A", " A", "a", "B", 1, "1", "(missing)", None, "straße", "STRASSE"], "sex")
    assert spellings(labels) == [
        ["'(missing)' (missing)", "'(missing)' (text)"],
        ["'1' (number)", "'1' (text)"],
        ["' A' (text)", "'A' (text)", "'a' (text)"],
        ["'STRASSE' (text)", "'straße' (text)"],
    ]
    assert spellings(labels_of(["A", "B", 1, 1.0, None], "sex")) == []


def test_order_is_by_size_for_numbers():
    keys = [(label_of(value, "age"),) for value in (10, "b", 9, None, "a", 2.5)]
    assert [key[0][1] for key in in_order(keys)] == ["(missing)", "2.5", "9", "10", "a", "b"]


def test_a_hostile_name_is_printed_short_and_without_control_characters():
    shown = show((("text", "\x1b[2J<script>\n" + "y" * 100), ("number", "1")), ("se\nx", "age"))
    assert shown.startswith("se?x=?[2J<script>?y")
    assert shown.endswith("y… & age=1")
    assert len(shown) == len("se?x=") + 40 + len(" & age=1")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=st.lists(st.tuples(*[st.sampled_from([1, 1.0, "1", "b", None])] * 3), max_size=40))
def test_crossed_rows_have_the_labels_of_each_attribute_and_no_group_is_empty(rows):
    columns = [[row[i] for row in rows] for i in range(3)]
    groups, place = crossed([coded(values, "x") for values in columns])
    assert [groups[at] for at in place] == list(zip(*(labels_of(values, "x") for values in columns), strict=True))
    assert sorted(groups) == sorted({groups[at] for at in place})
