"""What a card may say: one document of plain values, and the few computations over it. A source is a pointer into the
document (RFC 6901) or the name of a computation and its pointers; the linter follows the same ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from safeguards.card.forms import COMPUTED, NoEvidence
from safeguards.core.redact import known_secrets, redact
from safeguards.core.verdict import Verdict
from safeguards.gate import Comparison

if TYPE_CHECKING:
    from safeguards.gate import History, Record, Ruling
    from safeguards.tracking import Point, RunRow

__all__ = ["LEDGER", "Evidence", "NoEvidence", "Source", "Tracked", "evidence_of", "key", "parts"]

Source = str | tuple[str, ...]
LEDGER = "safeguards/verdicts.jsonl"


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What the tracking store holds of the record's run: how it ended, its files, metrics that are drawn, by name.

    ``judged`` is when verdicts were logged, by their place in the record and as far as a metric tells, in seconds since
    1970. ``intact`` says whether the ledger among the files holds the verdicts of the record; ``seconds`` is how long
    the run took, None where it has no end; ``made_with`` is `RunStory`'s.
    """

    ended: str
    artifacts: frozenset[str]
    intact: bool
    curves: Mapping[str, Sequence[Point]]
    seconds: float | None = None
    made_with: Mapping[str, str] = field(default_factory=dict)
    judged: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """``document`` holds "record", "champion" (its record), "digests", "curves" (points of metrics by name), "run",
    "ruling", "history" and "audits" (live ones), each None or empty where there is none. The records hold what the
    document does.
    """

    document: Mapping[str, Any]
    record: Record
    champion: Record | None = None
    ruling: Ruling | None = None
    tracked: Tracked | None = None
    links: str | None = None

    @property
    def digest(self) -> str:
        """Of the record as it was sealed."""
        return str(self.document["digests"]["record"])

    def value(self, source: Source) -> Any:
        """What a source leads to. Raises `NoEvidence`."""
        if isinstance(source, str):
            return self._at(source)
        name, *pointers = source
        if name == "name" and len(pointers) == 1:
            return self._name(*pointers)
        if name not in COMPUTED:
            raise NoEvidence(f"there is no computation {name!r}")
        try:
            return COMPUTED[name](*(self._at(pointer) for pointer in pointers))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise NoEvidence(f"{name} of {', '.join(pointers)} cannot be computed: {error}") from None

    def _at(self, pointer: str) -> Any:
        place: Any = self.document
        for part in parts(pointer):
            try:
                place = place[int(part)] if isinstance(place, list) else place[part]
            except (KeyError, IndexError, ValueError, TypeError):
                raise NoEvidence(f"{pointer} leads nowhere") from None
        return place

    def _name(self, pointer: str) -> str:
        """The last name of a pointer, once it is known to lead somewhere: names of columns are keys."""
        self._at(pointer)
        return parts(pointer)[-1]


def key(name: object) -> str:
    """A name as a part of a pointer."""
    return str(name).replace("~", "~0").replace("/", "~1")


def parts(pointer: str) -> list[str]:
    """The names that a pointer is made of. Raises `NoEvidence` for what is none."""
    if not pointer.startswith("/"):
        raise NoEvidence(f"{pointer!r} is no pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def evidence_of(
    record: Record,
    *,
    champion: Record | None = None,
    ruling: Ruling | None = None,
    history: History | None = None,
    tracked: Tracked | None = None,
    audits: Sequence[RunRow] | None = None,
    links: str | None = None,
) -> Evidence:
    """Of a record that was read, and so is intact. ``audits`` are the live audits of the model, None where nobody
    looked; ``links`` is the address of a review page, ``http://host:port``.
    """
    told, theirs = _told(record), None if champion is None else _told(champion)
    document = {
        "record": told.to_dict(),
        "champion": None if theirs is None else theirs.to_dict(),
        "digests": {"record": record.digest, "champion": None if champion is None else champion.digest},
        "curves": {name: _points(points) for name, points in (tracked.curves if tracked else {}).items()},
        "run": None if tracked is None else _clean(_run(tracked)),
        "ruling": None if ruling is None else _clean(_ruled(ruling)),
        "audits": None if audits is None else [_clean(_audited(one)) for one in audits],
        "history": [] if history is None else [_clean(entry.to_dict()) for entry in history.entries],
    }
    return Evidence(
        document=document, record=told, champion=theirs, ruling=ruling, tracked=tracked, links=_bare_address(links)
    )


def _told(record: Record) -> Record:
    """The record without what looks like a secret by now: the one who sealed it may not have known all of them."""
    return replace(
        record,
        verdicts=tuple(Verdict.from_dict(_clean(verdict.to_dict())) for verdict in record.verdicts),
        comparisons=tuple(Comparison.from_dict(_clean(one.to_dict())) for one in record.comparisons),
        **{name: _clean(dict(getattr(record, name))) for name in ("data", "seeds", "costs", "notes")},
    )


def _clean(value: Any) -> Any:
    """Texts and names without secrets; numbers as they are, whatever they are called."""
    return _without(value, known_secrets(os.environ))


def _without(value: Any, known: frozenset[str]) -> Any:
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, Mapping):
        return {_without(name, known): _without(item, known) for name, item in value.items()}
    return [_without(item, known) for item in value] if isinstance(value, (list, tuple)) else value


def _points(points: Sequence[Point]) -> list[dict[str, float]]:
    return [{"step": one.step, "value": one.value} for one in points]


def _ruled(ruling: Ruling) -> dict[str, Any]:
    return {
        "admitted": ruling.admitted,
        "reasons": list(ruling.reasons),
        "waived": list(ruling.waived),
        "version": ruling.version,
    }


def _run(tracked: Tracked) -> dict[str, Any]:
    judged = {str(place): _moment(when) for place, when in tracked.judged.items()}
    made = {"ended": tracked.ended, "seconds": tracked.seconds, "made_with": dict(tracked.made_with)}
    return {**made, "judged": judged}


def _audited(row: RunRow) -> dict[str, Any]:
    told = [{"measure": name.partition(".")[2], "outcome": str(found.outcome)} for name, found in row.measures.items()]
    return {"run": row.run_id, "when": _moment(row.started or 0.0), "told": told}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _bare_address(links: str | None) -> str | None:
    """Without user and password, which would stand in every link."""
    return None if links is None else redact(links).rstrip("/")
