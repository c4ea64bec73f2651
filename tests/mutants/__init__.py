"""Guards switched off one at a time, in a copy of the project: the tests named beside each must then fail.

    python -m tests.mutants                 # all of them, about an hour
    python -m tests.mutants core "looks"    # those whose file or words hold one of these

Exit codes: 0 every mutant was caught, 1 some were not, 2 a mutant no longer fits the code.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

__all__ = ["Mutant", "known"]

ROOT = Path(__file__).parents[2]
LISTS = Path(__file__).parent
COPIED = ("benchmarks", "conf", "pipelines", "safeguards", "tests")
LONGEST_SECONDS = 400
CAUGHT = 1  # pytest's exit code when tests ran and some failed


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One guard switched off: what that would mean, where, the code before and after, and who must notice."""

    topic: str
    says: str
    file: str
    was: str
    becomes: str
    tests: str

    def fits(self, root: Path = ROOT) -> bool:
        """Whether the code to change stands there exactly once."""
        return (root / self.file).read_text().count(self.was) == 1


def known() -> list[Mutant]:
    """Every mutant, in the order of the lists."""
    return [
        Mutant(topic=path.stem, **entry)
        for path in sorted(LISTS.glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text())
    ]


def main(words: Sequence[str]) -> int:
    """Run the tests of every mutant that is asked for; prints a line for each."""
    asked = [one for one in known() if not words or any(word in f"{one.topic} {one.says}" for word in words)]
    if misfits := [one for one in asked if not one.fits()]:
        print(*(f"{one.file} has not once: {one.was!r} ({one.says})" for one in misfits), sep="\n")
        return 2
    copy = Path(os.environ.get("TMPDIR", "/tmp"), f"mutants-{os.getpid()}")
    try:
        _copy(copy)
        missed = [one for number, one in enumerate(asked, 1) if not _caught(one, copy, f"{number}/{len(asked)}")]
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    print(f"{len(asked) - len(missed)} of {len(asked)} caught")
    return 1 if missed else 0


def _copy(root: Path) -> None:
    root.mkdir()
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("[A-Za-z]*.*"):
        if path.is_file():
            shutil.copy(path, root)


def _caught(mutant: Mutant, root: Path, place: str) -> bool:
    path = root / mutant.file
    sound = path.read_text()
    path.write_text(sound.replace(mutant.was, mutant.becomes))
    try:
        code = _tested(shlex.split(mutant.tests), root)
    finally:
        path.write_text(sound)
    answer = "caught" if code == CAUGHT else f"NOT CAUGHT (pytest's exit code {code})"
    print(f"{place} {answer}: {mutant.topic}: {mutant.says}", flush=True)
    return code == CAUGHT


def _tested(tests: Sequence[str], root: Path) -> int | None:
    """The exit code of pytest; None where it took too long, which no test noticed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, timeout=LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode
