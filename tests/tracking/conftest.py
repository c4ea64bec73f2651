"""A tracking database of each test's own, copied from one that was made once: making its tables takes seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENT_SECONDS = 45.0  # less than a group of processes waits for one of them


@pytest.fixture
def here(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory: a folder with such a database, and an environment that names no other store. A tracker
    waits for it as long as a busy machine takes: how long it waits otherwise is no matter of most tests.
    """
    from safeguards.tracking import tracker

    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("START_SECONDS", "END_SECONDS"):
        monkeypatch.setattr(tracker, name, PATIENT_SECONDS)
    yield tmp_path
    for name in set(os.environ) - set(before):
        if name.startswith("MLFLOW_"):
            del os.environ[name]
