"""What the commands around a retraining make of errors: one line, and a code that says whether calling again helps."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipelines import audit, retrain
from pipelines.codes import conclude

CONF = Path(__file__).parents[2] / "conf"
AWAY = ["http://127.0.0.1:9", "postgresql://me:canary@127.0.0.1:9/db"]


@pytest.mark.parametrize("uri", AWAY)
@pytest.mark.parametrize("pipeline", [retrain, audit])
def test_a_store_that_is_away_is_worth_another_try(
    pipeline: ModuleType,
    uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(CONF.parent)
    name = pipeline.__name__.rpartition(".")[2]
    monkeypatch.setattr(
        sys, "argv", [name, f"--config=conf/{name}.yaml", f"--tracking_uri={uri}", f"--directory={tmp_path}"]
    )
    assert pipeline.command() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not answer" in line
    assert "canary" not in line


def test_a_full_disk_is_one_line_and_worth_another_try(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "shelf/data")

    assert conclude(fail) == 1
    assert capsys.readouterr().err == (
        "error: OSError: [Errno 28] No space left on device: 'shelf/data'; mend that and call this again, what is done "
        "is not done again\n"
    )


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        ("--look.alfa=0.1", "look.alpha"),
        ("--notice.comand=[x]", "notice.command"),
        ("--attack={stepz: 3}", "attack: Attack has no option 'stepz'; did you mean 'steps'"),
    ],
)
def test_a_wrong_key_is_told_with_the_nearest_of_this_command(
    arguments: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        retrain.parse([f"--config={CONF / 'retrain.yaml'}", arguments])
    (line,) = capsys.readouterr().err.splitlines()
    assert near in line
