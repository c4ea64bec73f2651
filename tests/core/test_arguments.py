"""What is refused, in which words."""

import math
from typing import Any

import pytest

from safeguards.core.arguments import check_shares, check_whole
from safeguards.core.errors import ConfigurationError


class Guard:
    pass


@pytest.mark.parametrize("value", [2, 3, 10**12])
def test_whole_numbers_from_the_least_on(value: int) -> None:
    check_whole(Guard(), 2, rows=value)


@pytest.mark.parametrize("value", [1, -3, 2.0, True, "2", None, math.nan])
def test_anything_else_is_no_whole_number_of_that_size(value: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_whole(Guard(), 2, fine=2, rows=value)
    assert str(refused.value) == f"Guard(rows={value!r}): expected a whole number of at least 2"


def test_true_is_no_number_of_rows() -> None:
    with pytest.raises(ConfigurationError, match=r"Guard\(rows=True\)"):
        check_whole(Guard(), 1, rows=True)


@pytest.mark.parametrize("value", [1e-12, 0.5, 1 - 1e-12])
def test_shares_strictly_between_nothing_and_all(value: float) -> None:
    check_shares(Guard(), alpha=value)


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, -0.1, 1.5, True, "0.5", None, math.nan, math.inf])
def test_anything_else_is_no_share(value: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_shares(Guard(), fine=0.5, alpha=value)
    assert str(refused.value) == f"Guard(alpha={value!r}): expected a number above 0 and below 1"
