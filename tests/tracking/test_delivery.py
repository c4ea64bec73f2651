"""Two that send from one spool: the process that fills it, and `safeguards sync` beside it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from safeguards.core.process import this_process
from safeguards.tracking.delivery import Delivery
from safeguards.tracking.spool import LINES
from safeguards.tracking.syncing import sync
from tests.tracking.looking import runs
from tests.tracking.test_syncing import END, job, left_behind, loss


def of_the_job(folder: Path, place: Path) -> Delivery:
    spool: Any = SimpleNamespace(sync=int, unwritten=list, forget=len, lost=0)
    return Delivery(place, job(folder), job(folder)["uri"], spool=spool)


@pytest.mark.parametrize("artifacts", [[], [("artifacts", {"copy": "a", "to": "safeguards"})]], ids=["all", "values"])
def test_a_run_that_sync_ended_does_not_run_again(here: Path, monkeypatch: pytest.MonkeyPatch, artifacts: Any) -> None:
    """Sent whole by it, or up to the artifacts."""
    place = left_behind(here, loss(0), *artifacts, END, owner=this_process())
    (place / "artifacts" / "a").mkdir(parents=True)
    (place / "artifacts" / "a" / "report.html").write_text("report")
    late = of_the_job(here, place)
    with monkeypatch.context() as patch:
        if artifacts:
            patch.setattr("safeguards.tracking.delivery.upload", lambda *_, **__: 1 / 0)
        assert (sync(place).left is None) == (not artifacts)
    late.send()
    [run] = runs(here)
    assert run.info.status == "FINISHED"
    assert run.data.tags["safeguards.tracking"] == "complete"


def test_a_job_that_goes_on_after_its_end_runs_again(here: Path) -> None:
    place = left_behind(here, loss(0), END, owner=this_process())
    assert sync(place).left is None
    kind, points = loss(1)
    with (place / LINES).open("a") as lines:
        lines.write(json.dumps({"kind": kind, **points}) + "\n")
    of_the_job(here, place).send()
    [run] = runs(here)
    assert run.info.status == "RUNNING"
