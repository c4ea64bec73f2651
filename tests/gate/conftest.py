"""A registry of each test's own, and models that are checked in the process of the test unless it says otherwise."""

from __future__ import annotations

import pytest

from safeguards.gate.fresh import check_here
from safeguards.tracking import ModelRegistry
from tests.gate.memory import MemoryRegistry, Store
from tests.tracking.conftest import here

__all__ = ["here"]


@pytest.fixture
def registry(tmp_path):
    """Of the model "risk", in memory."""
    return MemoryRegistry(Store(tmp_path / "store"))


@pytest.fixture
def in_mlflow(here):
    """Of the model "risk", in a database of its own."""
    return ModelRegistry("risk")


@pytest.fixture
def at_once(monkeypatch):
    """No fresh process: importing torch takes seconds."""

    def check(folder, *, digest, allowed, seconds):
        return check_here(folder, digest=digest, allowed=allowed)

    for room in ("promotion", "restoring"):
        monkeypatch.setattr(f"safeguards.gate.{room}.check_in_a_fresh_process", check)
