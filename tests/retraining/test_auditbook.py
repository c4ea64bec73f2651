"""The book of live audits: what is kept, what a crash costs, and when an opened retraining is answered."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import pytest

from safeguards.core.errors import LedgerError
from safeguards.retraining import Audit, AuditBook, Trigger

ALWAYS = Trigger(k=1, n=1, cooldown=0)
NEVER = Trigger(k=9, n=9)
WHY = ("drift \u00fc",)


@pytest.fixture
def book(tmp_path: Path) -> AuditBook:
    return AuditBook(tmp_path / "deep" / "audits.jsonl")


def noted(book: AuditBook, data: str, trigger: Trigger = NEVER, reasons: tuple[str, ...] = WHY) -> Audit:
    return book.note(data=data, model="m", reasons=reasons, trigger=trigger)


def test_audits_come_back_in_order(book: AuditBook) -> None:
    assert book.past() == []
    both = [noted(book, "a"), noted(book, "b", reasons=())]
    assert book.past() == both
    assert [(audit.alarm, audit.opened, audit.reasons) for audit in both] == [(True, False, WHY), (False, False, ())]


def test_the_same_delivery_looked_at_twice_counts_once(book: AuditBook) -> None:
    first = noted(book, "a")
    assert noted(book, "a", ALWAYS, ()) == first
    assert book.past() == [first]


def test_a_delivery_under_other_settings_is_looked_at_anew_and_counts_once_as_it_was_last(book: AuditBook) -> None:
    two = Trigger(k=2, n=2, cooldown=0)

    def looked(data: str, job: str, *reasons: str) -> tuple[bool, bool]:
        audit = book.note(data=data, model="m", reasons=reasons, trigger=two, job=job)
        return audit.alarm, audit.opened

    assert looked("a", "loose") == (False, False)
    assert looked("a", "tight", "accuracy") == (True, False)  # once, not two of two
    assert looked("a", "tight") == (True, False)  # the same job again
    assert [(audit.data, audit.alarm) for audit in book.past()] == [("a", True)]
    assert looked("b", "tight", "accuracy") == (True, True)
    assert looked("b", "tighter", "accuracy") == (True, False)  # it has opened one already
    assert looked("b", "loose") == (False, False)
    assert [(audit.data, audit.alarm, audit.opened) for audit in book.past()] == [
        ("a", True, False),
        ("b", False, True),
    ]
    request = book.opened("b")
    assert request is not None  # nobody has answered it
    assert (request.data, request.job) == ("b", "tight")


def test_the_trigger_sees_what_was_noted_before(book: AuditBook) -> None:
    two = Trigger(k=2, n=2, cooldown=1)
    assert [noted(book, data, two).opened for data in "abcd"] == [False, True, False, True]


def test_what_was_opened_is_open_until_it_is_answered(book: AuditBook) -> None:
    assert book.opened("x") is None
    opened = noted(book, "a", ALWAYS)
    assert book.opened("a") == book.opened("x") == opened
    book.answer(opened, data="x")
    book.answer(opened, data="y")
    assert (book.opened("x"), book.opened("y"), book.opened("a")) == (opened, None, None)
    later = noted(book, "b", ALWAYS)
    assert book.opened("y") == book.opened("x") == later


def test_a_line_torn_at_any_length_costs_that_line_only(book: AuditBook) -> None:
    one = noted(book, "a")
    first = book.path.read_bytes()
    two = noted(book, "b", ALWAYS)
    whole = book.path.read_bytes()
    for length in range(len(first), len(whole) - 1):
        book.path.write_bytes(whole[:length])
        assert book.past() == [one]
        assert noted(book, "b", ALWAYS) == two
        assert book.past() == [one, two]


def test_a_torn_line_that_is_torn_again_while_it_is_marked_stays_torn(book: AuditBook) -> None:
    one = noted(book, "a")
    first = book.path.read_bytes()
    book.path.write_bytes(first + first[:20])
    two = noted(book, "b")
    whole = book.path.read_bytes()
    for length in range(len(first) + 20, len(whole) - 1):
        book.path.write_bytes(whole[:length])
        assert book.past() == [one]
        assert noted(book, "b") == two
        assert book.past() == [one, two]


def test_a_whole_line_that_lacks_its_newline_counts(book: AuditBook) -> None:
    one = noted(book, "a")
    book.path.write_bytes(book.path.read_bytes()[:-1])
    assert book.past() == [one]
    assert [*book.past(), noted(book, "b")] == book.past()


def test_a_byte_that_was_changed_in_a_written_line_is_told_with_its_number(book: AuditBook) -> None:
    noted(book, "a")
    noted(book, "b")
    whole = book.path.read_bytes()
    for damage, number in ((whole.replace(b"{", b"(", 1), 1), (whole[:-2] + b")\n", 2), (b"\n" + whole, 1)):
        book.path.write_bytes(damage)
        with pytest.raises(LedgerError, match=rf"jsonl:{number} is no live audit \(damaged\); mend the line, or move"):
            book.past()


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "3",
        '{"data":"a","model":"m","alarm":"no","opened":false,"reasons":[]}',
        '{"answers":["a"],"data":"x"}',
        '{"answers":["a","m"]}',
    ],
)
def test_a_line_that_is_no_audit_is_not_taken_for_calm(book: AuditBook, line: str) -> None:
    noted(book, "a")
    with book.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(LedgerError, match="jsonl:2 is no live audit"):
        book.past()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot"):
        noted(AuditBook(tmp_path / "file" / "audits.jsonl"), "a")


def writes(path: Path, name: str) -> None:
    book = AuditBook(path)
    for number in range(25):
        noted(book, f"{name}{number}")
        book.answer(Audit(data=f"{name}{number}", model="m", alarm=True, opened=True), data=name)


def test_lines_of_two_that_write_at_once_stay_whole(book: AuditBook) -> None:
    """An audit and a retraining that answers: nothing is torn, and nothing is lost."""
    processes = [get_context("fork").Process(target=writes, args=(book.path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(audit.data for audit in book.past()) == sorted(f"{name}{n}" for name in "ab" for n in range(25))
    assert len(book.path.read_text().splitlines()) == 100
