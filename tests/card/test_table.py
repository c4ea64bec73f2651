"""Which runs, in which order, on which page."""

from __future__ import annotations

from typing import Any

import pytest

from safeguards.card.table import MOST_COLUMNS, PER_PAGE, Asked, arranged, tally
from safeguards.core.verdict import Outcome
from safeguards.tracking import Found, RunRow


def row(
    name: str, outcome: str | None = "PASS", *, started: float = 0.0, ended: str = "finished", **margins: Any
) -> RunRow:
    measures = {measure: Found(outcome=Outcome(found[0]), margin=found[1]) for measure, found in margins.items()}
    return RunRow(
        run_id=f"id-{name}",
        experiment_id="1",
        name=name,
        status="FINISHED",
        started=started,
        stopped=None,
        ended=ended,
        outcome=None if outcome is None else Outcome(outcome),
        counts="",
        ledger=f"ledger-{name}",
        tracking="",
        measures=measures,
    )


ROWS = [
    row("d", "WARN", started=4.0, gap=("WARN", 0.01)),
    row("c", None, started=3.0, ended=""),
    row("B", "FAIL", started=2.0, ended="crashed", gap=("FAIL", -0.2), ratio=("PASS", 0.5)),
    row("a", "PASS", started=1.0, gap=("PASS", 0.1)),
    row("e", "ERROR", started=0.0, gap=("ERROR", None)),
]


def order(**asked: Any) -> str:
    return "".join(one.name for one in arranged(ROWS, Asked(**asked)).rows)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, "dcBae"),
        ({"down": False}, "eaBcd"),
        ({"sort": "name", "down": False}, "aBcde"),
        ({"sort": "outcome", "down": False}, "eBdac"),
        ({"sort": "outcome", "down": True}, "adBec"),
        ({"sort": "margin:gap", "down": False}, "Bdace"),
        ({"sort": "margin:gap", "down": True}, "adBce"),
        ({"sort": "ended", "down": False}, "Bdaec"),
        ({"sort": "nothing"}, "dcBae"),
        ({"text": "LEDGER-B"}, "B"),
        ({"text": "id-a"}, "a"),
        ({"outcome": "FAIL"}, "B"),
        ({"outcome": "SILENT"}, "c"),
        ({"outcome": "nothing"}, ""),
        ({"measure": "gap"}, "dBae"),
        ({"measure": "gap", "standing": "PASS"}, "a"),
        ({"standing": "PASS"}, "dcBae"),
        ({"ended": "crashed"}, "B"),
    ],
)
def test_filter_and_order(asked: dict[str, Any], names: str) -> None:
    assert order(**asked) == names


def test_what_has_no_value_comes_last_either_way() -> None:
    assert {order(sort="margin:gap", down=down)[-2:] for down in (True, False)} == {"ce"}


def test_pages_hold_so_many_and_end_where_the_rows_do() -> None:
    rows = [row(str(place), started=float(place)) for place in range(PER_PAGE + 1)]
    sheets = [arranged(rows, Asked(page=page)) for page in (-3, 1, 2, 9)]
    assert [(sheet.page, len(sheet.rows)) for sheet in sheets] == [(1, PER_PAGE), (1, PER_PAGE), (2, 1), (2, 1)]
    assert {(sheet.pages, sheet.matching, sheet.total) for sheet in sheets} == {(2, PER_PAGE + 1, PER_PAGE + 1)}
    assert arranged([], Asked()).pages == 1


def test_columns_are_those_of_the_rows_and_the_one_that_was_asked_for_is_first() -> None:
    assert arranged(ROWS, Asked()).columns == ("gap", "ratio")
    assert arranged(ROWS, Asked(measure="ratio")).columns == ("ratio", "gap")
    wide = [row("a", **{f"m{place:02}": ("PASS", 0.0) for place in range(MOST_COLUMNS + 2)})]
    sheet = arranged(wide, Asked())
    assert (len(sheet.columns), sheet.hidden) == (MOST_COLUMNS, 2)
    assert arranged(wide, Asked(measure=f"m{MOST_COLUMNS + 1}")).columns[0] == f"m{MOST_COLUMNS + 1}"


def test_the_tally_counts_each_run_once_the_gravest_first() -> None:
    assert tally(ROWS) == [("ERROR", 1), ("FAIL", 1), ("WARN", 1), ("PASS", 1), ("SILENT", 1)]
    assert tally([]) == []


def test_an_address_gives_back_what_was_asked() -> None:
    asked = Asked(text="x&y", measure="gap", sort="margin:gap", down=False, page=3)
    assert Asked.of(asked.query()) == asked
    assert Asked().query() == {}
    assert Asked.of({"page": "9" * 400}).page == 1


def test_a_click_on_a_head_turns_the_order() -> None:
    assert Asked.of(Asked().turned("name")).down is False
    assert Asked.of(Asked(sort="name", down=False).turned("name")).down is True
    assert Asked.of(Asked(sort="name", page=4).turned("started")) == Asked()
    assert Asked(sort="name", down=False).direction("name") == "ascending"
    assert Asked(sort="name").direction("outcome") == "none"
