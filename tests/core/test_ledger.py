"""One line per verdict, whatever happened to the last one."""

import json
import resource
from pathlib import Path

import pytest

from safeguards.core.errors import LedgerError
from safeguards.core.ledger import Ledger, read
from safeguards.core.verdict import Moment, Outcome, Verdict


def verdict(step: int) -> Verdict:
    moment = Moment(stage="validate", epoch=0, step=step)
    return Verdict(safeguard="a", measure="m", outcome=Outcome.PASS, reason="line\nbreak", moment=moment, value=0.5)


def test_appends_and_reads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "verdicts.jsonl"
    Ledger(path).append([verdict(1), verdict(2)])
    Ledger(path).append([verdict(3)])
    assert read(path) == ([verdict(1), verdict(2), verdict(3)], [])
    assert len(path.read_text().splitlines()) == 3


def test_torn_last_line_is_skipped_and_reported_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    Ledger(path).append([verdict(1), verdict(2)])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first + 1, len(whole) - 1, 7):
        path.write_bytes(whole[:cut])
        verdicts, problems = read(path)
        assert verdicts == [verdict(1)]
        assert problems == [f"{path}:2: skipped, the line is torn"]
        Ledger(path).append([verdict(3)])
        verdicts, problems = read(path)
        assert verdicts == [verdict(1), verdict(3)]
        assert len(problems) == 1


@pytest.mark.parametrize("line", ["[]", "1", '{"safeguard": "a"}', "\xff", '{"outcome": "GREAT"}'])
def test_foreign_lines_are_skipped_and_reported(tmp_path: Path, line: str) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(line.encode("latin-1") + b"\n")
    Ledger(path).append([verdict(1)])
    verdicts, problems = read(path)
    assert verdicts == [verdict(1)]
    assert len(problems) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"value": "nan"},
        {"value": None},
        {"value": 9.0, "limit": {"at_most": 0.2, "at_least": None, "warn_within": 0.0}},
        {"n": 10**400, "value": 10**400},
        {"cost": {"seconds": None}},
        {"cost": {"seconds": "x"}},
        {"moment": {"stage": ["a"], "epoch": {}, "step": 0}},
    ],
)
def test_lines_that_contradict_themselves_are_no_verdicts(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_text(json.dumps({**verdict(1).to_dict(), **change}) + "\n")
    verdicts, problems = read(path)
    assert verdicts == []
    assert len(problems) == 1


def test_lines_that_a_full_disk_takes_in_part_are_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    Ledger(path).append([verdict(1)])
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * len(before) + 9, hard))
    try:
        with pytest.raises(LedgerError, match="File too large"):
            Ledger(path).append([verdict(2), verdict(3)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    Ledger(path).append([verdict(2), verdict(3)])
    assert read(path) == ([verdict(1), verdict(2), verdict(3)], [])


def test_missing_file_and_unwritable_place(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot read"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot write"):
        Ledger(tmp_path / "file" / "verdicts.jsonl").append([verdict(1)])
