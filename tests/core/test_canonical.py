"""The examples of RFC 8785, its order of keys, and that nothing without a form gets a digest."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.canonical import canonical, digest_of, parse, sha256
from safeguards.core.errors import EvidenceError

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (333333333.33333329, "333333333.3333333"),
        (1e30, "1e+30"),
        (4.50, "4.5"),
        (2e-3, "0.002"),
        (0.000000000000000000000000001, "1e-27"),
        (-0.0, "0"),
        (1.0, "1"),
        (1, "1"),
        (5e-324, "5e-324"),
        (-1.7976931348623157e308, "-1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (1e21, "1e+21"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (1424953923781206.2, "1424953923781206.2"),
    ],
)
def test_numbers_have_the_form_of_the_standard(number, form):
    assert canonical(number) == form.encode()


def test_keys_are_in_the_order_of_the_standard():
    """Of UTF-16 code units: the emoji, whose first unit is 0xD83D, comes before U+FB33."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(canonical(dict.fromkeys(keys, 0)))) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


def test_texts_are_escaped_as_little_as_can_be():
    assert canonical('\u20ac$\x0f\nA\'B"\\\\"/') == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()


def test_the_digest_is_of_the_form():
    assert digest_of({"b": [1.0, True, None], "a": "x"}) == sha256(b'{"a":"x","b":[1,true,null]}')


@given(PLAIN)
def test_a_value_comes_back_and_has_one_form(value):
    form = canonical(value)
    assert canonical(parse(form, what="it")) == form
    assert canonical(json.loads(json.dumps(value, indent=1, sort_keys=False))) == form


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 2**53 + 1, 10**400, {1: 2}, "\ud800", {"\udfff": 1}, object(), {1}]
)
def test_what_json_lacks_has_no_form(value):
    with pytest.raises(EvidenceError):
        canonical({"x": value})


def test_nesting_without_end_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(EvidenceError, match="60 deep"):
        canonical(endless)
    with pytest.raises(EvidenceError, match="the file is no JSON"):
        parse(b"[" * 100_000, what="the file")


@pytest.mark.parametrize("text", [b'{"a": 1, "a": 2}', b"NaN", b"[Infinity]", b"\xff", b"{", b"", b"1" * 5000])
def test_json_that_readers_would_read_differently_is_refused(text):
    with pytest.raises(EvidenceError, match="the file is no JSON that can be trusted"):
        parse(text, what="the file")
