"""The client that user code gets from ``logger.experiment``."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from safeguards.core.redact import MARK
from safeguards.tracking import MLflowTracker
from safeguards.tracking.spool import read
from safeguards.tracking.syncing import spools_below, sync
from tests.tracking import jobs
from tests.tracking.looking import artifacts, client, runs

AWAY = "http://127.0.0.1:9"


def run_of(folder: Path) -> Run:
    [run] = runs(folder)
    return run


def write_everything(store: Any, run_id: str | None, folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"first")
    store.log_metric(run_id, "a", 1.0, step=3)
    store.log_metric(run_id, "b", 2.0, 1234, 4)
    store.log_param(run_id, "db_password", "canary")
    store.set_tag(run_id, "note", "http://me:canary@h")
    store.log_batch(run_id, [Metric("c", 3.0, 99, 5)], [Param("p", "1")], tags=[RunTag("t", "x")])
    store.log_artifact(run_id, str(folder / "model.bin"), "models")
    (folder / "model.bin").write_bytes(b"second")
    store.log_text(run_id, "hello", "texts/hello.txt")
    store.log_dict(run_id, {"a": 1}, "a.json")


def check(run: Run, folder: Path) -> None:
    assert run.data.metrics == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert run.data.params == {"db_password": MARK, "p": "1"}
    assert (run.data.tags["note"], run.data.tags["t"]) == (f"http://{MARK}@h", "x")
    kept = artifacts(run)
    assert kept["models/model.bin"] == b"first", "a file that changes later was frozen"
    assert kept["texts/hello.txt"] == b"hello"
    assert set(kept) == {"models/model.bin", "texts/hello.txt", "a.json"}
    points = client(folder).get_metric_history(run.info.run_id, "b")
    assert [(p.timestamp, p.step) for p in points] == [(1234, 4)]


def test_what_user_code_writes_arrives(here: Path) -> None:
    tracker = MLflowTracker()
    assert isinstance(tracker.experiment, MlflowClient)
    write_everything(tracker.experiment, tracker.run_id, here)
    tracker.finalize()
    check(run_of(here), here)


def test_what_user_code_writes_while_the_store_is_away_arrives_later(here: Path) -> None:
    """The store is named away when the job runs, and its spool is then sent to one that is there."""
    tracker = MLflowTracker(tracking_uri=AWAY, artifact_location=(here / "mlruns").as_uri())
    assert tracker.run_id is None
    write_everything(tracker.experiment, tracker.run_id, here)
    tracker.finalize()
    [spool] = spools_below(here)
    lines = spool / "lines.jsonl"
    lines.write_text(lines.read_text().replace(AWAY, f"sqlite:///{here / 'mlflow.db'}"))
    assert b"canary" not in lines.read_bytes()
    assert sync(spool).left is None
    check(run_of(here), here)


def test_other_runs_are_written_and_read_at_once(here: Path) -> None:
    tracker = MLflowTracker()
    store = tracker.experiment
    experiment = store.create_experiment("other")
    other = store.create_run(experiment).info.run_id
    store.log_metric(other, "a", 1.0)
    store.log_param(other, "p", 1)
    store.set_tag(other, "t", "x")
    store.log_batch(other, [Metric("b", 2.0, 1, 1)])
    store.log_text(other, "x", "x.txt")
    run = store.get_run(other)
    assert (run.data.metrics, run.data.params, run.data.tags["t"]) == ({"a": 1.0, "b": 2.0}, {"p": "1"}, "x")
    assert list(artifacts(run)) == ["x.txt"]
    assert list(spools_below(here)) == []
    with pytest.raises(AttributeError, match="no attribute 'log_nonsense'"):
        _ = store.log_nonsense


def test_checkpoints_are_frozen_and_arrive(here: Path) -> None:
    """Lightning deletes all but the best: what was uploaded as it was saved stays what it was."""
    tracker = MLflowTracker(experiment_name="../ex", log_model="all")
    checkpoints = pl.callbacks.ModelCheckpoint(monitor="val_loss", every_n_epochs=1)
    made = jobs.trainer(tracker, here, max_epochs=2, enable_checkpointing=True)
    made.callbacks.append(checkpoints)
    made.fit(jobs.Net())
    kept = artifacts(run_of(here))
    best = Path(checkpoints.best_model_path)
    assert best.is_relative_to(here), "the name of an experiment leads out of no folder"
    assert best.parents[1].name == tracker.version
    assert kept[f"{best.stem}/{best.name}"] == best.read_bytes()
    assert f"{best.stem}/metadata.yaml" in kept


def test_a_tracker_goes_on_in_another_process_with_the_same_spool(here: Path) -> None:
    tracker = MLflowTracker()
    tracker.log_metrics({"a": 1.0}, step=0)
    run_id = tracker.run_id
    other = pickle.loads(pickle.dumps(tracker))
    other.log_metrics({"a": 2.0}, step=1)
    other.finalize()
    tracker.log_metrics({"a": 3.0}, step=2)
    tracker.finalize()
    run = run_of(here)
    assert run.info.run_id == run_id == other.run_id
    points = client(here).get_metric_history(run.info.run_id, "a")
    assert [(p.step, p.value) for p in points] == [(0, 1.0), (1, 2.0), (2, 3.0)]
    [spool] = spools_below(here)
    assert [entry.kind for entry in read(spool)].count("process") == 1
