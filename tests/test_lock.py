"""The lock pins all that pyproject.toml asks for, and names nothing of the machine it was made on."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LINES = (ROOT / "requirements.lock").read_text().splitlines()
PINS = {canonicalize_name(pin.name): pin for pin in map(Requirement, (line for line in LINES if line[:1].isalnum()))}


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in project["dependencies"] + extras]


@pytest.mark.parametrize("requirement", asked(), ids=lambda requirement: requirement.name)
def test_each_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    pin = PINS[canonicalize_name(requirement.name)]
    (version,) = pin.specifier
    assert version.operator == "=="
    assert requirement.specifier.contains(version.version), f"{pin} is outside {requirement}; run `make lock`"


def test_torch_serves_cpu_and_cuda_alike() -> None:
    assert str(PINS["torch"]) == "torch==2.13.0"
    assert not [pin for pin in PINS.values() for version in pin.specifier if Version(version.version).local]


def test_nothing_of_one_machine() -> None:
    assert [line for line in LINES if re.search(r"^\s*-|@|://|[ =]/", line)] == []
