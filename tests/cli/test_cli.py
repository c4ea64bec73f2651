"""What holds for every command."""

import pytest

from safeguards.cli import EXIT_CODES, main


@pytest.mark.parametrize("command", [[], ["doctor"], ["verdicts"], ["review"], ["promote"], ["audit"], ["init"]])
def test_help_documents_the_exit_codes(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert EXIT_CODES in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["nonsense"], ["doctor", "--nonsense"], ["init"]])
def test_a_wrong_call_ends_with_2(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "usage: safeguards" in capsys.readouterr().err


def test_an_error_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdicts", "gone\n\x1b[2J.jsonl"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "gone ?[2J.jsonl" in told
