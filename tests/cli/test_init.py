"""The template arrives whole, and nothing of the user's is ever touched."""

import re
import subprocess
from pathlib import Path

import pytest

from safeguards._cli.init import TEMPLATE, files_of, template
from safeguards.cli import main


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for name in TEMPLATE for path in files_of(place / name)}


def test_every_file_arrives_byte_by_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "project"
    assert main(["init", str(target)]) == 0
    assert contents(target) == contents(template())
    assert {"Dockerfile", "requirements.lock", "conf/train.yaml", "pipelines/train.py"} <= contents(target).keys()
    assert f"cd {target}" in capsys.readouterr().out


def test_quiet_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--quiet", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", TEMPLATE)
def test_a_taken_name_stops_it_before_anything_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    assert capsys.readouterr().err == (
        f"safeguards init: {tmp_path} already has {name}; move it away or name another directory\n"
    )


@pytest.mark.parametrize("name", ["conf", "Dockerfile"])
@pytest.mark.parametrize("leads_to", ["elsewhere", "nowhere"])
def test_a_link_does_not_lead_it_out_of_the_directory(leads_to: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / name).symlink_to(tmp_path / leads_to)
    assert main(["init", str(tmp_path / "project")]) == 2
    assert [path.name for path in (tmp_path / "project").iterdir()] == [name]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_no_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["init", str(tmp_path / "notes.txt")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_compiled_files_stay_behind(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "train.cpython-311.pyc").touch()
    (tmp_path / "train.py").touch()
    assert files_of(tmp_path) == [tmp_path / "train.py"]


@pytest.mark.parametrize(
    ("library", "says"),
    [
        (None, "give --build-arg LIBRARY"),
        ("./safeguards-0.1.0-py3-none-any.whl", "./safeguards-0.1.0-py3-none-any.whl"),
    ],
)
def test_the_image_of_a_project_never_takes_a_library_of_that_name_from_an_index(
    library: str | None, says: str, tmp_path: Path
) -> None:
    assert main(["init", "--quiet", str(tmp_path)]) == 0
    (tmp_path / "safeguards").mkdir()  # the ledgers of a run, not the sources of the library
    assert says in installed_by_the_image(tmp_path, library)


def test_the_image_of_a_clone_installs_the_clone() -> None:
    assert ".[pipelines]" in installed_by_the_image(template(), None)


def installed_by_the_image(project: Path, library: str | None) -> str:
    """What the step of the Dockerfile that installs says, where pip only prints what it is asked for."""
    text = (project / "Dockerfile").read_text()
    (step,) = re.findall(r"^RUN --mount=\S+ \\\n((?:.*\\\n)*.*)", text, flags=re.MULTILINE)
    environment = {"PATH": "/usr/bin:/bin", **({} if library is None else {"LIBRARY": library})}
    done = subprocess.run(
        ["/bin/sh", "-c", 'pip() { echo "$@"; }\n' + step], cwd=project, env=environment, capture_output=True, text=True
    )
    return done.stdout + done.stderr
