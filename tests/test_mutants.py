"""The list of mutants fits the code: each guard stands where the list says, and its tests are there. What is told of
each is true.
"""

from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import ROOT, Mutant, known, main


@pytest.mark.parametrize("mutant", known(), ids=lambda one: f"{one.topic}: {one.says}")
def test_the_guard_stands_where_the_list_says(mutant: Mutant) -> None:
    assert mutant.fits(), f"{mutant.file} has not exactly once: {mutant.was!r}"
    assert mutant.was != mutant.becomes
    if mutant.file.endswith(".py"):
        compile(mutant.put_into(Path(ROOT, mutant.file).read_text()), mutant.file, "exec")
    assert Path(ROOT, mutant.tests.split()[0].partition("::")[0]).is_file()


def test_what_is_told_of_each_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "safeguards").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "safeguards/__init__.py").touch()
    (tmp_path / "safeguards/guard.py").write_text("LIMIT = 1\nOTHER = 1\n")
    (tmp_path / "tests/test_guard.py").write_text(
        "from safeguards.guard import LIMIT\n"
        "def test_sees(): assert LIMIT == 1\n"
        "def test_blind(): assert LIMIT\n"
        "def test_red(): assert not LIMIT\n"
    )

    def mutant(says: str, was: str, test: str) -> Mutant:
        tests = f"tests/test_guard.py -k {test}"
        return Mutant(topic="toy", says=says, file=file, was=was, becomes=was.replace("1", "2"), tests=tests)

    file = "safeguards/guard.py"
    three = [
        mutant("is seen", "LIMIT = 1", "sees"),
        mutant("is not seen, the one before being gone", "OTHER = 1", "sees"),
        mutant("meets a test that fails anyway", "LIMIT = 1", "red"),
    ]
    small = {"ROOT": tmp_path, "COPIED": ("safeguards", "tests"), "HEAVY": ("pytest", "safeguards.guard"), "WORKERS": 1}
    for name, value in small.items():
        monkeypatch.setattr(mutants, name, value)
    monkeypatch.setattr(mutants, "known", lambda: three)
    monkeypatch.setattr(Mutant, "fits", lambda _: True)
    assert main([]) == 1
    assert capfd.readouterr().out.splitlines() == [
        "1/3 caught: toy: is seen",
        "2/3 NOT CAUGHT (pytest's exit code 0): toy: is not seen, the one before being gone",
        "3/3 NOT TOLD, its tests fail without it: toy: meets a test that fails anyway",
        "1 of 3 caught",
    ]
    assert main(["is seen"]) == 0
