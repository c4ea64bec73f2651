"""The review as its command runs it: cards and page of a model in production, and its exit codes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines import review
from tests.helpers.markup import Parsed
from tests.pipelines.live import CONF, enthrone, scans

CONFIG = f"--config={CONF / 'review.yaml'}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """A folder with a model in production and a store."""
    folder = tmp_path_factory.mktemp("review")
    shutil.copyfile(empty_database, folder / "store.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'store.db'}")
        enthrone(folder, scans(folder / "learned", seed=0))
        yield folder


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The exit code without serving, and what was printed."""

    def reviewed(*more: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["review", CONFIG, "--serve=false", *more])
        code = review.command()
        told = capsys.readouterr()
        return code, told.out + told.err

    return reviewed


def test_the_cards_are_written_with_what_people_state(run, place: Path) -> None:
    (place / "stated.yaml").write_text(yaml.safe_dump({"owner": "the scanning team"}))
    code, told = run(f"--stated={place / 'stated.yaml'}")
    assert (code, told) == (0, "scans version 1: safeguards_runs/cards/scans-1.html\n")
    card = Parsed((place / "safeguards_runs/cards/scans-1.html").read_text()).text
    assert "The gate admitted it" in card
    assert "Owner the scanning team" in card


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model=nothing"], 4, "nothing: no version of this name has a record"),
        (["--newest=-1"], 2, "expected 0 or more"),
        (["--stated=none.yaml"], 2, "none.yaml"),
        (["--port=x"], 2, "port"),
        (["--tracking_uri=sqlite:////nowhere/x.db"], 2, "there is no file /nowhere/x.db"),
        (["--directory=store.db/cards"], 1, "no card: the card cannot be written to store.db/cards/scans-1.html"),
    ],
)
def test_exit_codes_and_lines(arguments: list[str], code: int, said: str, run) -> None:
    found, told = run(*arguments)
    assert (found, said in told) == (code, True), told
    assert told.count("\n") <= 2


def test_the_page_is_served_until_somebody_ends_it(place: Path) -> None:
    command = [sys.executable, "-m", "pipelines.review", CONFIG, "--port=0"]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline(), process.stdout.readline()]
            address = lines[1].split()[1]
            page = urllib.request.urlopen(address, timeout=100).read().decode()
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=100)
        finally:
            process.kill()
    assert lines[0] == "scans version 1: safeguards_runs/cards/scans-1.html\n"
    assert "Safeguards review" in Parsed(page).title
    assert code == 0
