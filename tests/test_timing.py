"""What benchmarks say of their rounds."""

from __future__ import annotations

import pytest

from benchmarks.timing import in_rounds, median_interval, quartiles


def test_the_interval_of_a_median_by_hand() -> None:
    """Seven values lie on one side of it with probability 2 / 128; of 20, five or fewer do on either with 0.0414."""
    assert median_interval([7, 1, 3, 2, 5, 6, 4]) == (1, 7, 1 - 2 / 128)
    low, high, surely = median_interval(range(1, 21))
    assert (low, high, surely) == (6, 15, pytest.approx(0.95861, abs=1e-5))
    assert median_interval([1, 2, 3]) == (1, 3, 0.75)


def test_quartiles_by_hand() -> None:
    assert quartiles([1, 2, 3, 4, 5]) == (2, 3, 4)


def test_every_round_asks_each_once_in_turned_order() -> None:
    asked: list[str] = []
    contenders = {name: lambda name=name: asked.append(name) or float(len(asked)) for name in "ab"}
    assert in_rounds(contenders, times=2) == {"a": [1.0, 4.0], "b": [2.0, 3.0]}
    assert asked == ["a", "b", "b", "a"]
