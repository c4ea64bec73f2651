"""One form for each value, so that equal evidence has equal bytes and equal digests.

The form is that of RFC 8785: keys sorted by UTF-16 code units, no white space, the shortest decimal that gives the same
double, and what JSON lacks (NaN, infinity, lone surrogates) refused. Any language can check a digest.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from safeguards.core.errors import EvidenceError

__all__ = ["LARGEST_WHOLE", "canonical", "digest_of", "parse", "sha256"]

LARGEST_WHOLE = 2**53 - 1
"""Beyond it a double cannot tell neighbours apart, and another reader would see another number."""
LARGEST_FORM = 10**21
"""From here on a double is written with an exponent."""
DEEPEST = 60


def sha256(content: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical form of a plain value. Raises `EvidenceError` for what has none."""
    return sha256(canonical(value))


def canonical(value: Any) -> bytes:
    """A plain value (dict with text keys, list, tuple, text, number, bool, None) as its one form.

    Raises `EvidenceError` for anything else, and for numbers and texts that JSON lacks.
    """
    try:
        return _form(value, DEEPEST).encode("utf-8")
    except UnicodeEncodeError:
        raise EvidenceError("a text holds half of a character (a lone surrogate), which has no form in JSON") from None


def parse(content: bytes, *, what: str) -> Any:
    """The value of JSON from outside: duplicate keys, NaN and texts that are no UTF-8 are refused.

    ``what`` names it in the error, an `EvidenceError`.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{what} is no JSON that can be trusted: {type(error).__name__}") from None


def _form(value: Any, room: int) -> str:
    if room == 0:
        raise EvidenceError(f"values are nested more than {DEEPEST} deep")
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(key)}:{_form(value[key], room - 1)}" for key in _sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_form(item, room - 1) for item in value) + "]"
    raise EvidenceError(f"a {type(value).__name__} has no form in JSON")


def _sorted(value: Mapping[Any, Any]) -> list[Any]:
    if odd := [key for key in value if not isinstance(key, str)]:
        raise EvidenceError(f"the key {odd[0]!r} is no text")
    return sorted(value, key=lambda key: key.encode("utf-16-be"))


def _key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def _number(value: float) -> str:
    """As ECMAScript writes it: Python finds the same digits and places the point elsewhere."""
    if isinstance(value, int):
        return _whole(value)
    if not math.isfinite(value):
        raise EvidenceError(f"{value} has no form in JSON")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    return "-" * sign + _placed("".join(map(str, digits)), int(exponent))


def _whole(value: int) -> str:
    """A large one is allowed where it is what some double is written as."""
    if abs(value) > LARGEST_WHOLE and (abs(value) > LARGEST_FORM or _number(float(value)) != str(value)):
        raise EvidenceError(f"a number of {value.bit_length()} bits is beyond the whole numbers of JSON")
    return str(int(value))


def _placed(digits: str, exponent: int) -> str:
    point = len(digits) + exponent
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(word)
