"""A ledger becomes a table and an exit code; damage and silence never exit with 0."""

import os
from pathlib import Path

import pytest

from safeguards._cli.verdicts import newest
from safeguards.cli import main
from safeguards.core.errors import LedgerError
from safeguards.core.ledger import Ledger
from safeguards.core.verdict import Moment, Outcome, Verdict


def verdict(outcome: Outcome, *, measure: str = "robust_accuracy", epoch: int = 0, safeguard: str = "a") -> Verdict:
    moment = Moment(stage="validate", epoch=epoch, step=epoch)
    return Verdict(
        safeguard=safeguard, measure=measure, outcome=outcome, reason=f"{outcome} it is", moment=moment, value=0.5
    )


def ledger(place: Path, *verdicts: Verdict) -> Path:
    path = place / "safeguards" / "run" / "verdicts.jsonl"
    Ledger(path).append(list(verdicts))
    return path


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_pass_and_warn_exit_with_0(outcome: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger(tmp_path, verdict(Outcome.PASS, measure="drifted_share"), verdict(outcome))
    assert main(["verdicts", str(path)]) == (0 if outcome in {Outcome.PASS, Outcome.WARN} else 1)
    said = capsys.readouterr().out
    assert f"{outcome} it is" in said
    assert said.endswith(f"{outcome}: {path}\n")


def test_a_verdict_that_was_mended_later_lets_through(tmp_path: Path) -> None:
    path = ledger(tmp_path, verdict(Outcome.FAIL, epoch=0), verdict(Outcome.PASS, epoch=1))
    assert main(["verdicts", str(path)]) == 0
    path = ledger(tmp_path, verdict(Outcome.FAIL, epoch=2))
    assert main(["verdicts", str(path)]) == 1


def test_quiet_prints_only_what_does_not_admit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger(tmp_path, verdict(Outcome.PASS, measure="drifted_share"), verdict(Outcome.FAIL))
    assert main(["verdicts", "--quiet", str(path)]) == 1
    said = capsys.readouterr().out
    assert "robust_accuracy" in said
    assert "drifted_share" not in said
    assert main(["verdicts", "--quiet", str(ledger(tmp_path, verdict(Outcome.PASS)))]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", ["{torn", "not json\n", '{"safeguard": "a"}\n', "[1]\n", "[" * 100_000])
def test_a_damaged_ledger_is_no_clean_bill(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger(tmp_path, verdict(Outcome.PASS))
    with path.open("a") as file:
        file.write(damage)
    assert main(["verdicts", str(path)]) == 1
    said = capsys.readouterr()
    assert f"{path}:2: skipped" in said.err
    assert "PASS it is" in said.out


def test_an_empty_ledger_is_no_clean_bill(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.touch()
    assert main(["verdicts", str(path)]) == 1


def test_a_missing_ledger_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdicts", str(tmp_path / "none\nhere")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot read the ledger" in said


def test_names_reach_no_terminal_as_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger(tmp_path, verdict(Outcome.PASS, safeguard="a\x1b[2Jb\nPASS", measure="m\r\x07"))
    main(["verdicts", str(path)])
    said = capsys.readouterr().out
    assert not {"\x1b", "\r", "\x07"} & set(said)
    assert "\nPASS\n" not in said


def test_the_newest_run_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = ledger(tmp_path / "one", verdict(Outcome.PASS))
    new = ledger(tmp_path / "two" / "deep", verdict(Outcome.FAIL))
    os.utime(old, (1, 1))
    ledger(tmp_path / ".venv", verdict(Outcome.PASS))
    (tmp_path / "verdicts.jsonl").write_text("of nobody's run")
    assert newest(tmp_path) == new
    monkeypatch.chdir(tmp_path)
    assert main(["verdicts"]) == 1
    assert str(new) in capsys.readouterr().out


def test_no_run_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"no ledger below .* train with a safeguard first"):
        newest(tmp_path)
