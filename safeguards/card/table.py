"""The table of runs: which of them, in which order, with which columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safeguards.core.report import SEVERITY
from safeguards.core.verdict import Outcome
from safeguards.tracking import RunRow

__all__ = ["SILENT", "Asked", "Sheet", "arranged", "measures_of", "tally"]

PER_PAGE = 100
MOST_COLUMNS = 16
SILENT = "SILENT"
"""What a filter calls runs in which no safeguard has spoken."""

MARGIN = "margin:"
GRAVEST = {outcome: place for place, outcome in enumerate(SEVERITY)}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a reviewer asked for; every field has a value that any text from an address leaves harmless.

    ``sort`` is "started", "name", "ended", "outcome" or "margin:<measure>"; ``page`` counts from 1.
    """

    text: str = ""
    outcome: str = ""
    measure: str = ""
    standing: str = ""
    ended: str = ""
    sort: str = "started"
    down: bool = True
    page: int = 1

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> Asked:
        """Out of the query of an address."""
        texts = {name: arguments.get(name, "") for name in ("text", "outcome", "measure", "standing", "ended")}
        page = arguments.get("page", "1")
        return cls(
            **texts,
            sort=arguments.get("sort") or "started",
            down=arguments.get("down", "1") == "1",
            page=int(page) if page.isdecimal() and len(page) < 7 else 1,
        )

    def query(self, **changes: Any) -> dict[str, str]:
        """The query of the address that asks for this, or for this with changes; what is as always is left out."""
        asked, usual = replace(self, **changes), Asked()
        pairs = {name: getattr(asked, name) for name in self.__dataclass_fields__}
        texts = {name: value for name, value in pairs.items() if value != getattr(usual, name)}
        return {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in texts.items()}

    def turned(self, sort: str) -> dict[str, str]:
        """The query for a click on the head of a column: the other way round if it is sorted by that already."""
        first = sort == "started"
        return self.query(sort=sort, down=not self.down if self.sort == sort else first, page=1)

    def direction(self, sort: str) -> str:
        """What ``aria-sort`` says of a column."""
        if self.sort != sort:
            return "none"
        return "descending" if self.down else "ascending"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One page of the table; ``hidden`` columns did not fit in."""

    rows: tuple[RunRow, ...]
    columns: tuple[str, ...]
    hidden: int
    matching: int
    total: int
    page: int
    pages: int


def arranged(rows: Sequence[RunRow], asked: Asked) -> Sheet:
    """The rows that match, sorted, a page of them."""
    matching = [row for row in rows if _matches(row, asked)]
    ordered = _sorted(matching, asked)
    pages = max(1, -(-len(ordered) // PER_PAGE))
    page = min(max(1, asked.page), pages)
    columns = measures_of(matching or rows)
    if asked.measure in columns:
        columns = [asked.measure, *(name for name in columns if name != asked.measure)]
    return Sheet(
        rows=tuple(ordered[(page - 1) * PER_PAGE : page * PER_PAGE]),
        columns=tuple(columns[:MOST_COLUMNS]),
        hidden=max(0, len(columns) - MOST_COLUMNS),
        matching=len(matching),
        total=len(rows),
        page=page,
        pages=pages,
    )


def measures_of(rows: Sequence[RunRow]) -> list[str]:
    """All measures that these runs judged, by name."""
    return sorted({name for row in rows for name in row.measures})


def tally(rows: Sequence[RunRow]) -> list[tuple[str, int]]:
    """How many runs have each outcome, the gravest first; none that no run has."""
    found = Counter(_word(row.outcome) for row in rows)
    return [(word, found[word]) for word in (*map(str, SEVERITY), SILENT) if found[word]]


def _matches(row: RunRow, asked: Asked) -> bool:
    found = row.measures.get(asked.measure)
    return (
        asked.text.casefold() in f"{row.name}\n{row.run_id}\n{row.ledger}".casefold()
        and asked.outcome in ("", _word(row.outcome))
        and asked.ended in ("", row.ended)
        and (not asked.measure or found is not None)
        and (not asked.measure or asked.standing in ("", _word(found.outcome if found else None)))
    )


def _word(outcome: Outcome | None) -> str:
    return SILENT if outcome is None else str(outcome)


def _sorted(rows: Sequence[RunRow], asked: Asked) -> list[RunRow]:
    """Those without a value come last either way; equal ones stay in the order of the list, the newest first."""
    value = _key(asked.sort)
    having = [row for row in rows if value(row) is not None]
    return [*sorted(having, key=value, reverse=asked.down), *(row for row in rows if value(row) is None)]


def _key(sort: str) -> Callable[[RunRow], Any]:
    if sort.startswith(MARGIN):
        measure = sort.removeprefix(MARGIN)
        return lambda row: row.measures[measure].margin if measure in row.measures else None
    keys: dict[str, Callable[[RunRow], Any]] = {
        "name": lambda row: row.name.casefold(),
        "ended": lambda row: row.ended or None,
        "outcome": lambda row: None if row.outcome is None else GRAVEST[row.outcome],
    }
    return keys.get(sort, lambda row: row.started)
