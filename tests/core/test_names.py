"""Names that every tracker accepts, and their way back."""

import re

from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.names import LONGEST, decode, encode, labels


def test_examples() -> None:
    assert encode("fair-1") == "fair-1"
    assert encode("<30, é") == "_3c_30_2c__20__e9_"
    assert encode("a_b") == "a__b"
    assert encode("../x") == "_2e__2e__2f_x"


def test_labels_are_topics_or_names_and_none_stands_twice() -> None:
    named = [(None, "a_b"), ("a_b", "a_b"), ("a b", "a_b"), (None, "c"), ("a b", "d"), ("", "c")]
    assert labels(named) == ["a_b", "a_b.2", "a_20_b", "c", "a_20_b.2", "c.2"]


@given(st.text(max_size=12))
def test_there_and_back(name: str) -> None:
    encoded = encode(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]*", encoded)
    assert len(encoded) > LONGEST - 1 or decode(encoded) == name


@given(st.text(min_size=LONGEST, max_size=300), st.text(min_size=LONGEST, max_size=300))
def test_long_names_are_cut_and_stay_apart(first: str, second: str) -> None:
    assert len(encode(first)) <= LONGEST
    assert (encode(first) == encode(second)) == (first == second)
