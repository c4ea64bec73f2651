"""What is in a tracking database, and what was said about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from safeguards.core.ending import Summary
from safeguards.core.ledger import Ledger
from safeguards.core.verdict import Moment, Outcome, Verdict
from safeguards.tracking.store import TALKATIVE
from safeguards.tracking.syncing import spools_below


def client(folder: Path) -> MlflowClient:
    """By its absolute path: MLflow keeps the connections of a relative one over a change of directory."""
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def runs(folder: Path) -> list[Run]:
    store = client(folder)
    return list(store.search_runs([e.experiment_id for e in store.search_experiments()]))


def steps(folder: Path, run: Run, metric: str) -> list[int]:
    return [point.step for point in client(folder).get_metric_history(run.info.run_id, metric)]


def artifacts(run: Run) -> dict[str, bytes]:
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith(("safeguards", *TALKATIVE))]


def summary(folder: Path, *, reason: str = "fine", outcome: str = "PASS", ended: str = "finished") -> Summary:
    verdict = Verdict(
        safeguard="fairness",
        measure="gap",
        outcome=Outcome(outcome),
        reason=reason,
        moment=Moment(stage="validate", epoch=0, step=1),
    )
    Ledger(folder / "verdicts.jsonl").append([verdict])
    return Summary(run_id="20261120-000000-abc", directory=folder, verdicts=(verdict,), ended=ended)


def spool_of(folder: Path) -> Path:
    [found] = spools_below(folder)
    return found


def directory_of(folder: Path) -> Path:
    [ledger] = (folder / "safeguards").glob("*/verdicts.jsonl")
    return ledger.parent


@contextmanager
def endless(folder: Path) -> Iterator[None]:
    """More folders within each other than Python lets a function call itself; gone afterwards, as pytest cannot."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(sys.getrecursionlimit() + 100):
            os.mkdir("d", dir_fd=opened)
            below = os.open("d", os.O_RDONLY, dir_fd=opened)
            os.close(opened)
            opened = below
        yield
    finally:
        os.close(opened)
        subprocess.run(["rm", "-rf", str(folder / "d")], check=True)
