"""What the sources import is what pyproject.toml asks for: no package by luck of another's needs, none without use."""

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.imports import Import, imports_of

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"safeguards", "pipelines", "tests", "benchmarks"}
RIVALS = {"foolbox", "torchattacks"}  # benchmarks compare with them where they are installed
PROVIDERS = packages_distributions()


def declared(*extras: str) -> set[str]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def providers(package: str) -> set[str]:
    """The distributions that a package may come from."""
    return {canonicalize_name(name) for name in PROVIDERS.get(package, [])}


def foreign(folder: str) -> Iterator[tuple[Path, Import]]:
    """Every import of a package that is neither ours nor Python's."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for one in imports_of(path):
            if one.package not in OWN | set(sys.stdlib_module_names):
                yield path, one


def undeclared(folder: str, allowed: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{one.line} imports {one.package} of {providers(one.package) or 'nothing installed'}"
        for path, one in foreign(folder)
        if not providers(one.package) & allowed
    ]


def test_the_library_loads_only_what_it_asks_for() -> None:
    """An extra may be missing, so that only a function may import it."""
    with_extras = declared("pipelines", "lightning", "attacks")
    assert undeclared("safeguards", with_extras) == []
    at_load = {one.package for _, one in foreign("safeguards") if one.runs}
    assert [package for package in at_load if not providers(package) & declared()] == []


@pytest.mark.parametrize(
    ("folder", "extras"), [("pipelines", ["pipelines"]), ("tests", PROJECT["optional-dependencies"])]
)
def test_pipelines_and_tests_import_only_what_is_asked_for(folder: str, extras: list[str]) -> None:
    assert undeclared(folder, declared(*extras)) == []


def test_benchmarks_import_only_what_is_asked_for_and_the_rivals() -> None:
    found = undeclared("benchmarks", declared())
    assert [line for line in found if not any(f"imports {rival} " in line for rival in RIVALS)] == []


def test_nothing_is_asked_for_that_the_library_does_not_import() -> None:
    used = {name for _, one in foreign("safeguards") for name in providers(one.package)}
    assert declared() - used == set()
