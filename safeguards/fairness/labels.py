"""The name of a group, made the same on every process, and the spellings that look like one name."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from safeguards.core.errors import FieldError

__all__ = ["MISSING", "Coded", "Key", "Label", "coded", "crossed", "in_order", "label_of", "show", "spellings"]

Label = tuple[str, str]
"""Kind ("missing", "number" or "text") and text: sortable, hashable, plain."""

Key = tuple[Label, ...]
"""One group: a label for each attribute of the grouping."""

MISSING: Label = ("missing", "(missing)")
LONGEST_LABEL = 200
SHOWN_CHARACTERS = 40


class Coded(NamedTuple):
    """The groups of N rows: the different ones, and which of them each row has, as int64 (N,)."""

    groups: list[Key]
    place: npt.NDArray[np.int64]


class _Met(dict[object, int]):
    """The place among ``labels`` of the label of each value, which is made when the value is first asked for."""

    def __init__(self, attribute: str) -> None:
        super().__init__()
        self.attribute, self.labels = attribute, dict[Label, int]()

    def __missing__(self, value: object) -> int:
        label = label_of(value, self.attribute)
        self[value] = place = self.labels.setdefault(label, len(self.labels))
        return place


def coded(values: Sequence[object], attribute: str) -> Coded:
    """The labels of N rows. Raises `FieldError` for what cannot name a group."""
    met = _Met(attribute)
    try:
        place = np.fromiter(map(met.__getitem__, values), dtype=np.int64, count=len(values))
    except TypeError as error:
        raise FieldError(f"group {attribute!r}: {error}; expected one str, number, bool or None per row") from error
    return Coded([(label,) for label in met.labels], place)


def crossed(columns: Sequence[Coded]) -> Coded:
    """The groups that rows form by several attributes together; those that no row is in are left out."""
    found, *others = columns
    for column in others:
        width = len(column.groups)
        pairs, place = np.unique(found.place * width + column.place, return_inverse=True)
        groups = [found.groups[pair // width] + column.groups[pair % width] for pair in pairs.tolist()]
        found = Coded(groups, place)
    return found


def label_of(value: object, attribute: str) -> Label:
    """None, NaN and pandas' missing values are one label; True is the number 1, 1.0 is the number 1."""
    if _is_missing(value):
        return MISSING
    if isinstance(value, Integral):
        return ("number", str(int(value)))
    if isinstance(value, Real):
        number = float(value)
        return ("number", str(int(number)) if number.is_integer() else repr(number))
    if not isinstance(value, str):
        raise FieldError(
            f"group {attribute!r}: a label is of type {type(value).__name__}, not a str, number, bool or None; "
            "give texts or numbers, as .astype(str) makes"
        )
    if len(value) > LONGEST_LABEL:
        raise FieldError(
            f"group {attribute!r}: a label has {len(value)} characters; free text is no group, give short names"
        )
    return ("text", str(value))


def _is_missing(value: object) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and value != value


def in_order(keys: Iterable[Key]) -> list[Key]:
    """Numbers by size, texts by letter: the same order on every process."""
    return sorted(keys, key=lambda key: [(kind, float(text) if kind == "number" else 0.0, text) for kind, text in key])


def show(key: Key, attributes: Sequence[str]) -> str:
    """A group to print, as in "sex=F & age=50": printable characters only, at most 40 of each label."""
    parts = zip(attributes, key, strict=True)
    return " & ".join(f"{_printable(name)}={_printable(text)}" for name, (_, text) in parts)


def _printable(text: str) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= SHOWN_CHARACTERS else clean[: SHOWN_CHARACTERS - 1] + "…"


def spellings(labels: Iterable[Label]) -> list[list[str]]:
    """Labels that differ only in case, spaces, Unicode form or type ("A", " a"; 1 and "1"), those alike together."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for kind, text in sorted(set(labels)):
        alike[_folded(text)].append(f"{_printable(text)!r} ({kind})")
    return [names for names in alike.values() if len(names) > 1]


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
