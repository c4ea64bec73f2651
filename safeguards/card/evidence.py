"""What a card may say: one document of plain values, and the few computations over it. A source is a pointer into the
document (RFC 6901) or the name of a computation and its pointers; the linter follows the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safeguards.card import words
from safeguards.core.intervals import clopper_pearson

if TYPE_CHECKING:
    from safeguards.gate import Record, Ruling
    from safeguards.tracking import Point

__all__ = ["FORMS", "Evidence", "NoEvidence", "Source", "evidence_of", "key"]

Source = str | tuple[str, ...]
LEDGER = "safeguards/verdicts.jsonl"


class NoEvidence(LookupError):  # noqa: N818 - a finding: "raise NoEvidence"
    """A source leads nowhere, or to what is no number."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """``document`` holds "record", "champion" (its record), "curves" (points of metrics by name) and "ruling", each
    None or empty where there is none. ``artifacts`` are the paths that the run's artifacts have; None where nobody looked.
    """

    document: Mapping[str, Any]
    digest: str
    artifacts: frozenset[str] | None = None
    links: str | None = None
    made: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: COMPUTED)

    def value(self, source: Source) -> Any:
        """What a source leads to. Raises `NoEvidence`."""
        if isinstance(source, str):
            return self._at(source)
        name, *pointers = source
        if name not in self.made:
            raise NoEvidence(f"there is no computation {name!r}")
        if name == "name":
            return self._name(*pointers)
        try:
            return self.made[name](*(self._at(pointer) for pointer in pointers))
        except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            raise NoEvidence(f"{name} of {', '.join(pointers)} cannot be computed: {error}") from None

    def _at(self, pointer: str) -> Any:
        place: Any = self.document
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            try:
                place = place[int(part)] if isinstance(place, Sequence) and not isinstance(place, str) else place[part]
            except (KeyError, IndexError, ValueError, TypeError):
                raise NoEvidence(f"{pointer} leads nowhere") from None
        return place

    def _name(self, pointer: str) -> str:
        """The last name of a pointer, once it is known to lead somewhere: names of columns are keys."""
        self._at(pointer)
        return pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")


def key(name: object) -> str:
    """A name as a part of a pointer."""
    return str(name).replace("~", "~0").replace("/", "~1")


def evidence_of(
    record: Record,
    *,
    champion: Record | None = None,
    ruling: Ruling | None = None,
    curves: Mapping[str, Sequence[Point]] | None = None,
    artifacts: frozenset[str] | None = None,
    links: str | None = None,
) -> Evidence:
    """Of a record that was read, and so is intact. ``links`` is the address of a review page, ``http://host:port``."""
    document = {
        "record": record.to_dict(),
        "champion": None if champion is None else champion.to_dict(),
        "digests": {"record": record.digest, "champion": None if champion is None else champion.digest},
        "curves": {
            name: [{"step": one.step, "value": one.value} for one in points] for name, points in (curves or {}).items()
        },
        "ruling": None
        if ruling is None
        else {"admitted": ruling.admitted, "reasons": list(ruling.reasons), "waived": list(ruling.waived)},
    }
    return Evidence(document=document, digest=record.digest, artifacts=artifacts, links=links)


def _bounds(rate: float, rows: int, confidence: float, rates: int) -> tuple[float, float]:
    """Exact, each at its share of the doubt, as `safeguards.fairness` splits it: all of them hold together."""
    alpha = (1 - float(confidence)) / max(1, int(rates))
    low, high = clopper_pearson([round(rate * rows)], [rows], alpha)
    return float(low[0]), float(high[0])


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("it is not finite")
    return value


COMPUTED: Mapping[str, Callable[..., Any]] = {
    "difference": lambda one, other: _finite(float(one) - float(other)),
    "low": lambda rate, rows, confidence, rates: _bounds(rate, rows, confidence, rates)[0],
    "high": lambda rate, rows, confidence, rates: _bounds(rate, rows, confidence, rates)[1],
    "less": lambda rows, positives: int(rows) - int(positives),
    "low of the rest": lambda rate, rows, pos, conf, rates: _bounds(rate, int(rows) - int(pos), conf, rates)[0],
    "high of the rest": lambda rate, rows, pos, conf, rates: _bounds(rate, int(rows) - int(pos), conf, rates)[1],
    "share": lambda part, whole: float(part) / float(whole),
    "name": lambda: "",
}

FORMS: Mapping[str, Callable[[Any], str]] = {
    "number": lambda value: words.number(_is_number(value)),
    "signed": lambda value: words.signed(_is_number(value)),
    "percent": lambda value: f"{_is_number(value):.1%}",
    "confidence": lambda value: f"{_is_number(value):.4%}",
    "count": lambda value: f"{int(_is_number(value)):,}",
    "duration": lambda value: words.duration(_is_number(value)),
    "digest": lambda value: str(value)[:12],
    "day": lambda value: str(value)[:10],
    "moment": lambda value: str(value)[:16].replace("T", " "),
    "text": lambda value: words.shown(value, 2000),
    "name": lambda value: words.shown(value, 60),
}
"""How a value may be put: the linter asks that what stands on the page is exactly this."""


def _is_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NoEvidence(f"{words.shown(value, 40)!r} is no number")
    return value
