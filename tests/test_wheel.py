"""The wheel, built from a copy of the sources and used from outside the checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from safeguards._cli.init import TEMPLATE, files_of
from tests.test_lock import PINS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("safeguards", *TEMPLATE, "pyproject.toml", "setup.py", "README.md", "LICENSE")


def run(command: list[str], where: Path, *, seconds: float = 240, **environment: str) -> str:
    """Standard output of a command that must succeed; it sees nothing of the checkout."""
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=where,
        env=bare | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        target = place / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    built = tmp_path_factory.mktemp("built")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(place)], place)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`safeguards` in an empty environment that got the wheel and what its metadata asks for, and nothing else.

    Those packages are links to this environment's, which is built from the lock: a download takes minutes.
    """
    place = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", str(place)], place)
    pip(place, "install", "--no-deps", "--no-index", "--quiet", str(wheel))
    (site,) = place.glob("lib/python*/site-packages")
    (own,) = site.glob("safeguards-*.dist-info")
    for package in needed_by(Distribution.at(own)).values():
        link(package, site)
    return place / "bin" / "safeguards"


def pip(place: Path, *arguments: str) -> str:
    return run([sys.executable, "-m", "pip", "--python", str(place), *arguments], place)


def needed_by(package: Distribution) -> dict[str, Distribution]:
    """All that it asks for without any extra, and all that this asks for in turn, by name."""
    found: dict[str, Distribution] = {}
    waiting, seen = [(package, "")], set()
    while waiting:
        asking, extra = waiting.pop()
        for line in asking.requires or []:
            asked = Requirement(line)
            key = (canonicalize_name(asked.name), frozenset(asked.extras))
            if (asked.marker is None or asked.marker.evaluate({"extra": extra})) and key not in seen:
                seen.add(key)
                found[key[0]] = distribution(asked.name)
                waiting += [(found[key[0]], name) for name in ("", *asked.extras)]
    return found


def link(package: Distribution, site: Path) -> None:
    for name in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
        if not (site / name).exists():
            (site / name).symlink_to(package.locate_file(name))


def test_it_asks_for_all_that_it_needs_in_versions_that_the_lock_has(command: Path) -> None:
    """pip itself says that nothing is missing and no range is left; the rest of this environment is not there."""
    assert pip(command.parents[1], "check") == "No broken requirements found.\n"
    installed = dict(line.split("==") for line in pip(command.parents[1], "freeze", "--all").split() if "==" in line)
    pins = {name: str(pin.specifier).removeprefix("==") for name, pin in PINS.items()}
    found = {canonicalize_name(name): version.partition("+")[0] for name, version in installed.items()}
    assert found.items() <= pins.items()
    assert {"torch", "mlflow"} <= found.keys()
    assert not {"pytest", "ruff", "jsonargparse", "lightning"} & found.keys()


def test_it_holds_the_library_the_cards_and_the_template(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    library = {str(path.relative_to(ROOT)) for path in (ROOT / "safeguards").rglob("*.py")}
    cards = {str(path.relative_to(ROOT)) for path in (ROOT / "safeguards").rglob("README.md")}
    pages = {
        str(path.relative_to(ROOT)) for path in (ROOT / "safeguards" / "card").glob("*/*.*") if path.suffix != ".pyc"
    }
    template = {
        str(Path("safeguards/_template", path.relative_to(ROOT))) for n in TEMPLATE for path in files_of(ROOT / n)
    }
    assert names == library | cards | pages | template | {"safeguards/py.typed"}


def test_init_outside_the_checkout_gives_what_the_checkout_has(command: Path, tmp_path: Path) -> None:
    python = str(command.with_name("python"))
    where = run([python, "-c", "import safeguards; print(safeguards.__file__)"], tmp_path).splitlines()[-1]
    assert Path(where).is_relative_to(command.parents[1])
    run([str(command), "init", "project"], tmp_path)
    given = {path.relative_to(tmp_path / "project"): path.read_bytes() for path in files_of(tmp_path / "project")}
    assert given == {path.relative_to(ROOT): path.read_bytes() for name in TEMPLATE for path in files_of(ROOT / name)}


def test_the_readmes_first_block_runs_from_the_wheel(command: Path, tmp_path: Path) -> None:
    see_the_first_block_run(command, tmp_path)


def see_the_first_block_run(command: Path, where: Path, *, seconds: float = 240) -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    (where / "train.py").write_text(block[1])
    printed = run([str(command.with_name("python")), "train.py"], where, seconds=seconds)
    assert "demographic_parity_difference" in printed
    assert "verdicts.jsonl" in run([str(command), "verdicts", "--help"], where)


@pytest.mark.index
@pytest.mark.timeout(1500)
def test_pip_installs_it_from_an_index_and_the_readmes_first_block_runs(wheel: Path, tmp_path: Path) -> None:
    """An empty environment, nothing of this one: what the index serves, in the versions of the lock."""
    if os.environ.get("SAFEGUARDS_INSTALL") != "1":
        pytest.skip("it fetches all packages from the index, minutes: make wheel")
    place = tmp_path / "environment"
    run([sys.executable, "-m", "venv", str(place)], tmp_path)
    python, lock = str(place / "bin" / "python"), str(ROOT / "requirements.lock")
    run([python, "-m", "pip", "install", "--quiet", "--constraint", lock, str(wheel)], tmp_path, seconds=1200)
    assert run([python, "-m", "pip", "check"], tmp_path) == "No broken requirements found.\n"
    assert not any(path.is_symlink() for path in place.glob("lib/python*/site-packages/*"))
    see_the_first_block_run(place / "bin" / "safeguards", tmp_path, seconds=300)


PLUGINS = """
import sys, warnings
warnings.filterwarnings("error", message="Failure attempting")
from mlflow.models.evaluation.evaluator_registry import _model_evaluation_registry as evaluators
from mlflow.tracking.context.registry import _run_context_provider_registry as providers, resolve_tags
print("torch" in sys.modules, type(evaluators.get_evaluator("safeguards")).__module__)
print([type(one).__module__ for one in providers if type(one).__module__.startswith("safeguards")])
print([name for name in resolve_tags() if name.startswith("safeguards")])
"""


def test_mlflow_finds_the_evaluator_and_the_context_provider(command: Path, tmp_path: Path) -> None:
    """Outside of a job the provider adds nothing."""
    (tmp_path / "plugins.py").write_text(PLUGINS)
    said = run([str(command.with_name("python")), "plugins.py"], tmp_path).splitlines()[-3:]
    assert said == ["False safeguards.evaluation.evaluator", "['safeguards.tracking.context']", "[]"]
