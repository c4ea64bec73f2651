"""Names and values that MLflow takes, told apart, whatever users call things."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from safeguards.tracking.names import LONGEST_KEY, cut, key, text

AWKWARD = [
    "fair/gap/<30,female?",
    "../../etc/passwd",
    "/abs",
    "a//b",
    ".",
    "..",
    "",
    "a/./b",
    "a/",
    "\ud800",
    "\0",
    "é<3",
]


@pytest.mark.parametrize("name", ["safeguard/fairness/demographic_parity_difference", "val_loss", "größe", "a b.c-d"])
def test_accepted_names_stay(name: str) -> None:
    assert key(name) == name


def test_a_refused_name_keeps_what_it_can_and_gets_a_digest() -> None:
    digest = hashlib.sha256(b"fair/gap/<30?").hexdigest()[:12]
    assert key("fair/gap/<30?") == f"fair/gap/_30_-{digest}"
    assert key("acc<30") != key("acc>30")


@given(st.text(max_size=300))
@example("x" * 251)
@example("x/" * 124 + "/<")
def test_mlflow_accepts_every_key(name: str) -> None:
    from mlflow.utils.validation import _validate_metric, _validate_tag_name

    made = key(name)
    _validate_metric(made, 1.0, 0, 0)
    _validate_tag_name(made)
    assert 0 < len(made) <= LONGEST_KEY


@pytest.mark.parametrize("name", AWKWARD)
def test_mlflow_accepts_awkward_keys(name: str) -> None:
    from mlflow.utils.validation import _validate_metric

    _validate_metric(key(name), 1.0, 0, 0)


@given(st.text("ab<>/.", max_size=8), st.text("ab<>/.", max_size=8))
@example("a" * 300 + "x", "a" * 300 + "y")
def test_different_names_stay_different(first: str, second: str) -> None:
    assume(first != second)
    assert key(first) != key(second)


def test_texts_are_what_a_database_stores() -> None:
    assert text("größe \ud800\0") == "größe ??"
    assert text(0.1) == "0.1"


def test_a_long_value_says_how_long_it_was() -> None:
    assert cut("a" * 30, 30) == "a" * 30
    assert cut("a" * 31, 30) == "a" * 11 + "... [31 characters]"
