"""Champion and challenger side by side, row by row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from safeguards.core.errors import FieldError
from safeguards.retraining import Answers, compared

N = 100


def answered(rights: list[bool], robust: list[bool] | None = None, *, first: int = 0) -> Answers:
    right = np.array(rights)
    return Answers(
        ids=np.arange(first, first + N),
        target=np.ones(N, dtype=np.int64),
        predicted=right.astype(np.int64),
        confidence=np.full(N, 0.9),
        robust=None if robust is None else np.array(robust),
        groups={"side": np.array(["left"] * 60 + ["right"] * 40)},
    )


CHAMPION = answered([True] * 50 + [False] * 10 + [True] * 40, [True] * 50 + [False] * 50)
CHALLENGER = answered([True] * 60 + [False] * 10 + [True] * 30, [True] * 40 + [False] * 60)


def test_by_hand() -> None:
    """Ten rows of the left are gained and ten of the right lost: nothing over all, and each group tells."""
    found = {one.measure: one for one in compared(CHAMPION, CHALLENGER)}
    assert {name: pytest.approx(one.difference) for name, one in found.items()} == {
        "accuracy": 0.0,
        "robust_accuracy": -0.1,
        "accuracy/side=left": 1 / 6,
        "accuracy/side=right": -0.25,
    }
    assert {one.n for one in found.values()} == {100, 60, 40}


def test_robustness_is_compared_where_both_were_attacked() -> None:
    names = [one.measure for one in compared(replace(CHAMPION, robust=None), CHALLENGER)]
    assert "robust_accuracy" not in names


def test_other_rows_are_not_compared() -> None:
    with pytest.raises(FieldError, match="same rows in the same order"):
        compared(CHAMPION, answered([True] * N, [True] * N, first=1))
