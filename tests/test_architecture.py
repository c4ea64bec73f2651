"""The rules of docs/architecture.md, read from the source: who imports whom, how large a file is, what a topic has."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import safeguards
from safeguards import Safeguard
from tests.helpers.imports import LIBRARY, Import, imports_of

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 350
HEAVY = {"mlflow", "evidently", "art", "fairlearn", "deepspeed", "optuna", "matplotlib"}
STANDARD = sys.stdlib_module_names | {"__future__"}

OTHER_ROOMS = {"core", "deepspeed", "evaluation", "search", "tracking", "gate", "card", "retraining", "_cli"}
"""Rooms of the library that are no topic; every other folder of it is one."""

MAY_IMPORT = {
    "core": {"core"},
    "deepspeed": {"deepspeed", "core"},
    "evaluation": {"evaluation", "core", "fairness", "drift", "tracking"},
    "search": {"search", "core", "tracking"},  # a study is kept where its trainings are kept
    "tracking": {"tracking", "core"},
    "gate": {"gate", "core", "tracking"},
    "card": {"card", "core", "gate", "tracking"},  # a model card is made from the gate's record, ruling and history
    "retraining": {"retraining", "core", "drift", "fairness", "adversarial", "deepspeed"}
    | {"search", "gate", "card", "tracking"},  # a retraining searches, rules and tells
    "_cli": {"_cli", "card", "core", "deepspeed", "gate", "tracking"},
}
ONLY_ROOM_OF = {"mlflow": "tracking", "deepspeed": "deepspeed", "optuna": "search"}
FOUNDATION = ("verdict", "limit", "errors")
IMPURE = {"lightning", "pytorch_lightning", "mlflow"} | {  # frameworks
    "os", "pathlib", "io", "shutil", "tempfile", "sqlite3",  # files
    "time", "datetime", "threading", "socket", "subprocess",  # clock, processes
}  # fmt: skip
IMPURE_PARTS = ("torch.distributed", "safeguards.core.ranks", "safeguards.core.ledger", "safeguards.core.run")

MODULES = sorted(path for place in (LIBRARY, ROOT / "pipelines") for path in place.rglob("*.py"))
SOURCES = sorted(
    path for name in ("safeguards", "pipelines", "tests", "benchmarks") for path in Path(ROOT, name).rglob("*.py")
)
TOPICS = sorted(
    path.name
    for path in LIBRARY.iterdir()
    if path.is_dir() and path.name not in OTHER_ROOMS and not path.name.startswith("__")
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room_of(path: Path) -> str | None:
    parts = path.relative_to(LIBRARY).parts
    return parts[0] if len(parts) > 1 else None


def offences(path: Path, wrong: object) -> list[str]:
    return [f"{name_of(path)}:{one.line} imports {one.module}" for one in imports_of(path) if wrong(one)]  # type: ignore[operator]


library = pytest.mark.parametrize("path", [path for path in MODULES if path.is_relative_to(LIBRARY)], ids=name_of)


@library
def test_rooms_import_only_what_they_may(path: Path) -> None:
    room = room_of(path)
    assert room is None or offences(path, lambda one: one.room is not None and not may_import(room, one)) == []
    assert offences(path, lambda one: one.package in {"pipelines", "tests", "benchmarks"}) == []


def may_import(room: str, one: Import) -> bool:
    """A topic knows itself and core; whole weights it may fetch from under ZeRO at the moment it needs them."""
    if room in MAY_IMPORT:
        return one.room in MAY_IMPORT[room]
    return one.room in {room, "core"} or (one.module.startswith("safeguards.deepspeed.weights.") and not one.runs)


@library
def test_mlflow_deepspeed_and_optuna_keep_to_their_rooms(path: Path) -> None:
    assert offences(path, lambda one: ONLY_ROOM_OF.get(one.package, room_of(path)) != room_of(path)) == []


@library
def test_heavy_packages_load_when_they_are_used(path: Path) -> None:
    assert offences(path, lambda one: one.runs and one.package in HEAVY) == []


@pytest.mark.parametrize("name", FOUNDATION)
def test_the_foundation_stands_on_the_standard_library(name: str) -> None:
    own = tuple(f"safeguards.core.{part}." for part in FOUNDATION)
    path = LIBRARY / "core" / f"{name}.py"
    assert offences(path, lambda one: one.package not in STANDARD and not one.module.startswith(own)) == []


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*/measures.py")), ids=name_of)
def test_measures_are_pure(path: Path) -> None:
    assert offences(path, lambda one: one.package in IMPURE or one.module.startswith(IMPURE_PARTS)) == []
    calls = [
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert not {"open", "print", "input"} & set(calls)


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").rglob("*.py")), ids=name_of)
def test_pipelines_use_public_names_and_leave_mlflow_alone(path: Path) -> None:
    assert offences(path, lambda one: one.package == "mlflow") == []
    assert offences(path, lambda one: one.package == "safeguards" and not is_public(one)) == []


def is_public(one: Import) -> bool:
    """The library's face, a name of it, or of the face of a room; core has none."""
    names = one.module.split(".")[1:]
    if any(name.startswith("_") for name in names):
        return False
    return len(names) < 2 or (len(names) == 2 and one.room not in {None, "core"})


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_holds_two_ideas(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= LONGEST_FILE
    banners = [
        number for number, line in enumerate(lines, 1) if re.match(r"\s*#\s*([-=*#_~\u2014\u2500]\s*){3,}", line)
    ]
    assert banners == [], "a file that needs banners needs to be two files"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_complete(topic: str) -> None:
    parts = [
        *(LIBRARY / topic / name for name in ("__init__.py", "measures.py", "guard.py", "README.md")),
        ROOT / "conf" / "safeguards" / f"{topic}.yaml",
        ROOT / "tests" / topic / "test_measures.py",
        ROOT / "tests" / topic / "test_guard.py",
    ]
    assert [name_of(part) for part in parts if not part.is_file()] == []
    assert [one for one in exported() if one.topic == topic], f"no safeguard of {topic} is exported"
    assert all(one.__name__ in (ROOT / "CHANGELOG.md").read_text() for one in exported() if one.topic == topic)


def test_each_safeguard_lives_in_the_topic_it_names() -> None:
    assert sorted({one.topic for one in exported()}) == TOPICS
    assert all(one.__module__ == f"safeguards.{one.topic}.guard" for one in exported())


def test_metric_names_are_unique() -> None:
    names = [f"safeguard/{one.topic}/{measure}" for one in exported() for measure in one.measures]
    assert sorted(names) == sorted(set(names))
    assert len(names) >= len(TOPICS)


def test_no_test_takes_short_process_groups_away_from_what_it_starts() -> None:
    """They come by PYTHONPATH (tests/helpers/children.py), to which a test may add; one starts one process and bare."""
    giving, bare = {"helpers/children.py", "mutants/__init__.py"}, {"test_wheel.py"}
    adding = {"card/test_plugin.py"}
    tests = ROOT / "tests"
    naming = {str(path.relative_to(tests)) for path in tests.rglob("*.py") if "PYTHONPATH" in path.read_text()}
    assert naming == giving | bare | adding | {"test_architecture.py"}


def exported() -> list[type[Safeguard]]:
    """The safeguards among the public names."""
    public = [getattr(safeguards, name) for name in safeguards.__all__]
    return [one for one in public if isinstance(one, type) and issubclass(one, Safeguard) and one is not Safeguard]


def test_the_checks_see_what_they_look_for(tmp_path: Path) -> None:
    """Each kind of import in one file: the reading that every rule above leans on."""
    file = tmp_path / "one.py"
    file.write_text(
        "import mlflow.tracking as m\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import optuna\n"
        "try:\n    from art import attacks\nexcept ImportError:\n    pass\n"
        "class A:\n    import evidently\n    def f(self):\n        from safeguards.core import limit\n"
    )
    found = {one.module: one.runs for one in imports_of(file)}
    assert found == {
        "mlflow.tracking": True,
        "typing.TYPE_CHECKING": True,
        "optuna": False,
        "art.attacks": True,
        "evidently": True,
        "safeguards.core.limit": False,
    }
    assert Import("safeguards.core.limit", 1, True).room == "core"
    assert Import("safeguards.Limit", 1, True).room is None
