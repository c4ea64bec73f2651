"""The README is true: its blocks run as they stand, its table is what is printed, its links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("safeguards/**/*.md")})
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def run(command: list[str], where: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        command,
        cwd=where,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Path, str]:
    """Somebody who pastes every Python block, in order, into one file, beside a store of MLflow whose tables have been
    made: the place, and what was printed.
    """
    place = tmp_path_factory.mktemp("reader")
    shutil.copyfile(empty_database, place / "mlflow.db")
    (place / "train.py").write_text("\n".join(blocks("python")))
    done = run([sys.executable, "train.py"], place)
    assert done.returncode == 0, done.stderr[-4000:]
    return place, done.stdout


def rows(text: str) -> list[list[str]]:
    """Safeguard, measure and outcome of each row: numbers may differ with the machine, and costs do."""
    return [words[:3] for line in text.splitlines() if len(words := line.split()) > 3 and words[2].isupper()]


def reason(text: str) -> str:
    """What stands below the first row, without its numbers."""
    found = re.search(r"^fairness .*\n((?:    \S.*\n)+)", text, re.MULTILINE)
    assert found is not None
    return re.sub(r"\d+(\.\d+)?", "#", " ".join(found[1].split()))


def test_the_first_block_prints_the_table_shown_below_it(reader: tuple[Path, str]) -> None:
    (shown,) = blocks("text")
    assert rows(shown) == [["fairness", "demographic_parity_difference", "FAIL"]]
    assert rows(reader[1])[:1] == rows(shown)
    assert reason(reader[1]) == reason(shown)
    assert shown.splitlines()[0].split() == next(line for line in reader[1].splitlines() if "outcome" in line).split()


def test_three_lines_are_added_to_the_training() -> None:
    assert blocks("python")[0].count("# added\n") == 3


def test_every_command_does_what_is_shown(reader: tuple[Path, str]) -> None:
    (session,) = blocks("console")
    for step in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, *shown = step.splitlines()
        said = run(["bash", "-c", command], reader[0])
        assert said.stderr == ""
        assert all(line in said.stdout.splitlines() for line in shown), said.stdout
    assert (reader[0] / "my-project" / "Dockerfile").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test", "check", "bench", "lock"} <= named <= targets
