"""Values as words."""

from __future__ import annotations

import math

import pytest

from safeguards.card import words


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.123456, "0.1235"),
        (-0.5, "−0.5"),  # noqa: RUF001 - a minus
        (12345, "12,345"),
        (None, "–"),  # noqa: RUF001 - a dash
        (math.nan, "nan"),
        (-math.inf, "−inf"),  # noqa: RUF001 - a minus
        (True, "True"),
        (0.0, "0"),
    ],
)
def test_numbers(value: float | None, told: str) -> None:
    assert words.number(value) == told


def test_a_margin_has_its_sign() -> None:
    assert [words.signed(value) for value in (0.05, -0.2, 0.0, None)] == ["+0.05", "−0.2", "+0", ""]  # noqa: RUF001


def test_signs_that_print_nothing_are_written_out() -> None:
    assert words.shown("a\u202eb\x00c\td\n") == r"a\u202eb\x00c d "
    assert words.shown("ümläut 漢字 <b>") == "ümläut 漢字 <b>"


def test_a_long_text_says_how_long_it_was() -> None:
    assert words.shown("x" * 10_000, 5) == "xxxxx… [10,000 characters]"
    assert words.shown("x" * 5, 5) == "xxxxx"


def test_times_and_sizes() -> None:
    assert words.when(0.0) == "1970-01-01 00:00"
    assert words.day(1e30) == words.when(math.nan) == "no date"
    told = [words.duration(value) for value in (0.0821, 75.0, 6000.0, None)]
    assert told == ["0.0821 s", "1 min 15 s", "1 h 40 min", "–"]  # noqa: RUF001 - a dash
    assert [words.size(value) for value in (12, 1200, 4_300_000, None)] == ["12 bytes", "1.2 kB", "4.3 MB", ""]


def test_details_become_texts_of_bounded_depth_and_length() -> None:
    deep: dict[str, object] = {}
    for _ in range(50):
        deep = {"a": deep}
    assert words.tree(deep) == {"a": {"a": {"a": {"a": words.shown(str(deep["a"]["a"]["a"]["a"]), 400)}}}}  # type: ignore[index]
    assert words.tree({"x" * 100: [1, 2.5, None, True]}) == {words.shown("x" * 100, 80): ["1", "2.5", "None", "True"]}
    assert len(words.tree(list(range(1000)))) == 200
