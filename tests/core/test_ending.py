"""What is told at the end, whoever listens."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from safeguards.core.ending import tell
from safeguards.core.names import encode
from safeguards.core.report import WIDEST_CELL, table
from safeguards.core.verdict import Moment, Outcome, Verdict


def verdict(reason: str = "fine", loader: str | None = None) -> Verdict:
    moment = Moment(stage="validate", epoch=0, step=1, loader=loader)
    return Verdict(safeguard="fairness", measure="gap", outcome=Outcome.PASS, reason=reason, moment=moment)


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError("Broken pipe")


def test_letters_that_the_terminal_lacks_are_shown_as_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    tell([verdict("größer")], Path("run"), {})
    sys.stdout.flush()
    assert "gr\\xf6\\xdfer" in raw.getvalue().decode()


def closed() -> Any:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("terminal", [Gone, closed])
def test_a_terminal_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch, terminal: Any) -> None:
    monkeypatch.setattr(sys, "stdout", terminal())
    with pytest.warns(UserWarning, match="the verdicts could not be printed"):
        tell([verdict()], Path("run"), {})


def test_a_name_without_end_widens_no_table() -> None:
    lines = table([verdict(loader="x" * 10_000)]).splitlines()
    assert max(map(len, lines)) < WIDEST_CELL + 80
    assert "gap [xxx" in lines[2]


def test_a_long_name_of_half_letters_is_encoded() -> None:
    assert len(encode("a\ud800" * 100)) <= 80
