"""A store that is lost before or during a fit, and what refuses artifacts: all of it arrives later, once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from safeguards.tracking import MLflowTracker
from safeguards.tracking.standing import what_waits
from safeguards.tracking.syncing import sync
from tests.tracking import jobs
from tests.tracking.looking import artifacts, directory_of, runs, said, spool_of, steps, summary


def rename(folder: Path, old: str, new: str) -> None:
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_a_store_that_is_lost_before_training_gets_everything_later(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MLflowTracker()
    rename(here, "experiments", "hidden")
    tracker.keep_text("a: 1", "config.yaml")
    made = jobs.trainer(tracker, here)
    made.fit(jobs.Net(lr=0.5))
    assert (made.global_step, tracker.run_id) == (4, None)
    first, *_, last = said(caplog)
    assert "tracking failed, training goes on (sending: OperationalError" in first or "MlflowException" in first
    assert last.endswith(f"did not reach sqlite:///{here / 'mlflow.db'}: safeguards sync {spool_of(here)}")
    rename(here, "hidden", "experiments")
    assert runs(here) == []
    assert what_waits(directory_of(here)) == f"some of it waits to be sent: safeguards sync {spool_of(here)}"
    assert sync(spool_of(here)).left is None
    [run] = runs(here)
    assert steps(here, run, "train_loss") == [0, 1, 2, 3]
    assert run.data.params["lr"] == "0.5"
    assert run.data.tags["safeguards.tracking"] == "complete"
    assert run.info.status == "FINISHED"
    assert {"config.yaml", "safeguards/verdicts.jsonl"} <= set(artifacts(run))
    assert what_waits(directory_of(here)) is None


def test_a_checkpoint_that_is_resumed_while_the_store_is_away_goes_on_in_its_run(here: Path) -> None:
    earlier, later = MLflowTracker(), MLflowTracker()
    earlier.begin_safeguards("same", here / "run")
    assert earlier.run_id
    rename(here, "runs", "hidden")
    later.log_hyperparams({"lr": 1.0})
    later.begin_safeguards("same", here / "run")
    later.log_metrics({"x": 1.0}, step=0)
    assert later.run_id is None
    assert later.describe()["run_id"] == "none yet: the store is away"
    rename(here, "hidden", "runs")
    later.finalize()
    [run] = runs(here)
    assert run.info.run_id == later.run_id == earlier.run_id
    assert (run.data.params, run.data.metrics["x"]) == ({"lr": "1.0"}, 1.0)


def test_artifacts_that_cannot_be_stored_wait_and_are_said(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    (here / "file").write_text("")
    tracker = MLflowTracker(artifact_location=(here / "file" / "below").as_uri())
    tracker.log_metrics({"x": 1.0}, step=0)
    tracker.publish_safeguards(summary(here / "run"))
    tracker.finalize()
    [run] = runs(here)
    assert run.data.tags["safeguards.tracking"] == "waiting"
    assert (run.data.tags["safeguards.outcome"], run.data.metrics["x"], run.info.status) == ("PASS", 1.0, "FINISHED")
    assert (here / "run" / "verdicts.jsonl").exists()
    assert "0 lines and 1 artifacts did not reach" in said(caplog)[-1]
    assert len(said(caplog)) == 2
    assert "waits to be sent" in str(what_waits(here / "run"))
    (here / "file").unlink()
    assert sync(spool_of(here)).left is None
    [run] = runs(here)
    assert run.data.tags["safeguards.tracking"] == "complete"
    assert set(artifacts(run)) == {"safeguards/verdicts.jsonl", "safeguards/tracking.json"}
    assert what_waits(here / "run") is None
