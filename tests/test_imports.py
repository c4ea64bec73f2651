"""`import safeguards` is light, and every library is asked not to report home; each case in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import safeguards

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("mlflow", "evidently", "art", "fairlearn", "deepspeed", "optuna")
TOPICS = ("AdversarialEvaluation", "DriftReport", "FairnessCheck", "OverfittingGuard", "ThreatModel")
COSTLY = ("pandas", "scipy", "sklearn", "matplotlib", "statsmodels")
ONE_BY_ONE = """
import pytorch_lightning
packages = lambda: {{name.partition(".")[0] for name in sys.modules}}
known, answer = packages() - {heavy}, {{}}
import safeguards
for name in {names}:
    getattr(safeguards, name)
    answer[name] = sorted(packages() - known)
"""

BARE = ("PATH", "HOME", "LANG")
"""Nothing that switches telemetry off already, as a variable of continuous integration or of pytest would."""


def answer(code: str, **environment: str) -> object:
    """What ``code`` leaves in ``answer``, run by a fresh interpreter."""
    said = subprocess.run(
        [sys.executable, "-c", f"import json, os, sys\n{code}\nprint(json.dumps(answer))"],
        cwd=ROOT,
        env={key: os.environ[key] for key in BARE if key in os.environ} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return json.loads(said.stdout.splitlines()[-1])


def test_the_folder_of_ledgers_does_not_hide_the_package(tmp_path: Path) -> None:
    """A run writes ``./safeguards/<run id>``; a script beside it must still find the library."""
    (tmp_path / "safeguards" / "20260101-000000-00000000").mkdir(parents=True)
    code = "from safeguards import Limit; print(Limit(at_most=1))"
    own = {key: os.environ[key] for key in BARE if key in os.environ}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=own, capture_output=True, text=True, timeout=240, check=False
    )
    assert said.stdout == "at most 1\n", said.stderr


def test_the_package_and_its_command_line_load_no_library() -> None:
    loaded = {name.partition(".")[0] for name in answer("import safeguards.cli\nanswer = sorted(sys.modules)")}
    assert "safeguards" in loaded
    assert loaded.isdisjoint({*HEAVY, *COSTLY, "numpy", "torch", "pytorch_lightning", "lightning"})


@pytest.mark.parametrize("name", safeguards.__all__)
def test_a_public_name_loads_nothing_heavy_that_lightning_did_not(name: str, added: dict[str, list[str]]) -> None:
    unwanted = HEAVY if name in TOPICS else (*HEAVY, *COSTLY, "lightning")
    assert "safeguards" in added[name]
    assert set(added[name]).isdisjoint(unwanted)


@pytest.fixture(scope="module")
def added() -> object:
    """For each public name the packages that are loaded once it has been used, the names of topics last."""
    return answer(
        ONE_BY_ONE.format(heavy=set(HEAVY), names=sorted(safeguards.__all__, key=lambda name: name in TOPICS))
    )


def test_telemetry_is_off_unless_the_user_says_otherwise() -> None:
    asked = "import safeguards\nanswer = os.environ['DO_NOT_TRACK'], os.environ['MLFLOW_DISABLE_TELEMETRY']"
    assert answer(asked) == ["true", "true"]
    assert answer(asked, DO_NOT_TRACK="false", MLFLOW_DISABLE_TELEMETRY="false") == ["false", "false"]


def test_mlflow_agrees_that_its_telemetry_is_off() -> None:
    code = (
        "import safeguards\nfrom mlflow.telemetry.utils import is_telemetry_disabled\nanswer = is_telemetry_disabled()"
    )
    assert answer(code) is True
