"""The tracker on real SQLite databases, in process and on real processes."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from safeguards.core.errors import ConfigurationError, LimitViolated
from safeguards.core.redact import MARK
from safeguards.tracking import MLflowTracker
from tests.helpers.launch import launch
from tests.tracking import jobs
from tests.tracking.looking import artifacts, client, runs, said, steps, summary

JOBS = jobs.__file__


def test_a_fit_leaves_one_run_with_metrics_tags_and_the_ledger(here: Path) -> None:
    tracker = MLflowTracker(run_name="größe", tags={"team": "a"})
    jobs.trainer(tracker, here).fit(jobs.Net(lr=0.5))
    [run] = runs(here)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "größe"
    assert run.data.metrics["safeguard/count/rows"] == 8
    assert "train_loss" in run.data.metrics
    assert run.data.params == {"lr": "0.5", "db_password": MARK}
    ours = {
        k: v for k, v in run.data.tags.items() if k.startswith("safeguards.") and not k.endswith((".run_id", ".spool"))
    }
    assert f"torch {torch.__version__}" in ours.pop("safeguards.versions").split(", ")
    assert ours == {
        "safeguards.count.rows": "PASS",
        "safeguards.count.rows.margin": "92",
        "safeguards.outcome": "PASS",
        "safeguards.verdicts": "1 PASS",
        "safeguards.ended": "finished",
        "safeguards.tracking": "complete",
    }
    assert run.data.tags["team"] == "a"
    [ledger] = (here / "safeguards").glob("*/verdicts.jsonl")
    assert artifacts(run)["safeguards/verdicts.jsonl"] == ledger.read_bytes()
    assert run.data.tags["safeguards.run_id"] == ledger.parent.name


def test_it_logs_for_a_trainer_of_the_other_namespace(here: Path) -> None:
    import lightning.pytorch as other

    class Net(other.LightningModule):
        training_step, train_dataloader = jobs.Net.training_step, jobs.Net.train_dataloader
        configure_optimizers = jobs.Net.configure_optimizers

        def __init__(self) -> None:
            super().__init__()
            self.layer = jobs.torch.nn.Linear(2, 1)

    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    other.Trainer(max_epochs=1, accelerator="cpu", logger=MLflowTracker(), log_every_n_steps=1, **quiet).fit(Net())
    [run] = runs(here)
    assert "train_loss" in run.data.metrics


@pytest.mark.parametrize(
    ("reaction", "ended", "status"), [("stop", "stopped_for_safety", "FINISHED"), ("raise", "raised", "FAILED")]
)
def test_a_stop_for_safety_is_told_from_a_finished_run(here: Path, reaction: str, ended: str, status: str) -> None:
    made = jobs.trainer(MLflowTracker(), here, at_most=1.0, reaction=reaction, max_epochs=3)
    try:
        made.fit(jobs.Net())
    except LimitViolated:
        assert reaction == "raise"
    [run] = runs(here)
    assert (run.data.tags["safeguards.ended"], run.info.status) == (ended, status)
    assert run.data.tags["safeguards.outcome"] == "FAIL"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), ("KILLED", "killed")),
        (SystemExit(143), ("KILLED", "killed")),
        (SystemExit(1), ("FAILED", "crashed")),
    ],
)
def test_a_fit_that_is_told_to_end_was_killed(here: Path, error: BaseException, told: tuple[str, str]) -> None:
    class Interrupt(pl.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            raise error

    made = jobs.trainer(MLflowTracker(), here)
    made.callbacks.append(Interrupt())
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            made.fit(jobs.Net())
    finally:
        signal.signal(signal.SIGINT, handler)
    [run] = runs(here)
    assert (run.info.status, run.data.tags["safeguards.ended"]) == told


def test_a_test_after_the_fit_and_a_second_fit_go_on_in_the_run(here: Path) -> None:
    tracker = MLflowTracker()
    made = jobs.trainer(tracker, here)
    net = jobs.Net()
    made.fit(net)
    net.test_step = lambda batch: net.log("test_loss", net.layer(batch[0]).mean())  # type: ignore[attr-defined]
    made.test(net, net.val_dataloader(), verbose=False)
    jobs.trainer(tracker, here).fit(jobs.Net())
    [run] = runs(here)
    assert {"train_loss", "test_loss", "safeguard/count/rows/test"} <= set(run.data.metrics)
    assert (run.info.status, run.data.tags["safeguards.tracking"]) == ("FINISHED", "complete")
    assert steps(here, run, "train_loss") == [0, 1, 2, 3, 0, 1, 2, 3], "two trainings of one job are both its own"


def test_a_resumed_checkpoint_goes_on_in_its_run(here: Path) -> None:
    for epochs, checkpoint in ((1, None), (2, "last.ckpt")):
        made = jobs.trainer(MLflowTracker(), here, max_epochs=epochs)
        made.fit(jobs.Net(lr=float(epochs)), ckpt_path=checkpoint)
        made.save_checkpoint("last.ckpt")
    [run] = runs(here)
    assert steps(here, run, "safeguard/count/rows") == [3, 7]
    assert run.data.params["lr"] == "1.0"
    assert run.data.tags["safeguards.changed.lr"] == "2.0"
    assert run.data.tags["safeguards.verdicts"] == "1 PASS"
    assert run.info.status == "FINISHED"


def test_a_new_job_gets_a_run_of_its_own_and_a_named_run_goes_on(here: Path) -> None:
    first, second = MLflowTracker(), MLflowTracker()
    first.begin_safeguards("one", here / "run")
    second.begin_safeguards("two", here / "run")
    assert first.run_id != second.run_id
    third = MLflowTracker(run_id=first.run_id)
    third.begin_safeguards("two", here / "run")
    assert third.run_id == first.run_id


@pytest.mark.parametrize("hostile", ["x' OR tags.a != '", "", "a b"])
def test_a_hostile_run_id_of_a_checkpoint_finds_no_run(here: Path, hostile: str) -> None:
    first, second = MLflowTracker(), MLflowTracker()
    first.begin_safeguards(hostile, here / "run")
    second.begin_safeguards(hostile, here / "run")
    assert first.run_id != second.run_id


def test_a_run_with_points_is_never_given_up(here: Path) -> None:
    earlier, busy = MLflowTracker(), MLflowTracker()
    earlier.begin_safeguards("same", here / "run")
    assert earlier.run_id
    busy.log_metrics({"x": 1.0}, step=0)
    kept = busy.run_id
    busy.begin_safeguards("same", here / "run")
    busy.finalize()
    assert busy.is_own(kept)
    assert {run.info.run_id for run in runs(here)} == {kept, earlier.run_id}


def test_publishing_twice_changes_nothing(here: Path) -> None:
    tracker, made = MLflowTracker(), summary(here / "run")
    tracker.publish_safeguards(made)
    tracker.finalize()
    once = [(run.info.run_id, run.data.tags, artifacts(run)) for run in runs(here)]
    tracker.publish_safeguards(made)
    tracker.finalize()
    assert [(run.info.run_id, run.data.tags, artifacts(run)) for run in runs(here)] == once
    assert len(once) == 1


def test_names_and_values_arrive_whatever_they_are(here: Path) -> None:
    tracker = MLflowTracker(prefix="p")
    tracker.log_metrics({"größe": 1.0, "a<30": 2.0, "a>30": 3.0, "nan": math.nan, "inf": math.inf}, step=5)
    tracker.finalize()
    [run] = runs(here)
    assert run.data.metrics["p-größe"] == 1.0
    assert sorted(value for name, value in run.data.metrics.items() if name.startswith("p-a_30-")) == [2.0, 3.0]
    assert math.isnan(run.data.metrics["p-nan"])
    assert "p-inf" not in run.data.metrics
    assert run.data.tags["safeguards.infinite.p-inf"] == "inf at step 5"


def test_no_secret_reaches_the_store(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "c4naryV4lue"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{canary}-env")
    tracker = MLflowTracker(run_name=f"token={canary}", tags={"api_key": canary, "note": f"http://me:{canary}@h"})
    tracker.log_hyperparams({"db": {"password": canary}, "uri": f"s3://{canary}@b"})
    tracker.log_hyperparams({"env": f"{canary}-env", "seen": "yes"})
    tracker.log_hyperparams({"hf_token": "old"})
    tracker.log_hyperparams({"hf_token": canary, "seen": f"password={canary}"})
    tracker.keep_text(f"db:\n  password: {canary}\n", "config.yaml")
    (here / "run").mkdir()
    (here / "run" / "notes.txt").write_text(f"Bearer {canary}abc123")
    tracker.publish_safeguards(summary(here / "run", reason=f"rank 0: cannot reach http://me:{canary}@h"))
    tracker.finalize()
    [run] = runs(here)
    kept = {**artifacts(run), "database": (here / "mlflow.db").read_bytes()}
    kept |= {str(path): path.read_bytes() for path in (here / "safeguards_spool").rglob("*") if path.is_file()}
    assert [name for name, content in kept.items() if canary.encode() in content] == []
    assert run.data.params["seen"] == "yes"
    assert canary not in repr(tracker.describe())


def test_a_run_that_the_store_refuses_is_said_before_training(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError, match=r"mlflow.db'\): MlflowException: Run with id=missing not found") as no:
        MLflowTracker(run_id="missing")
    assert no.value.__context__ is None
    assert said(caplog) == []


def test_a_deleted_experiment_is_said_before_training(here: Path) -> None:
    store = client(here)
    store.delete_experiment(store.create_experiment("gone"))
    with pytest.raises(ConfigurationError, match="the experiment 'gone' is deleted: restore it, or name another"):
        MLflowTracker(experiment_name="gone")


def test_the_environment_is_left_as_it_was(here: Path) -> None:
    assert MLflowTracker(tracking_uri=f"sqlite:///{here / 'mlflow.db'}").run_id
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_four_jobs_start_at_once_on_a_fresh_database(tmp_path: Path) -> None:
    [result] = launch(f"{JOBS}:start_four_at_once", world=1, folder=str(tmp_path))
    assert result.value["codes"] == [0, 0, 0, 0], result.stderr[-2000:]
    assert set(result.value["runs"]) == {run.info.run_id for run in runs(tmp_path)}
    assert len(runs(tmp_path)) == 4
    assert {run.info.experiment_id for run in runs(tmp_path)} == {"1"}


def test_two_processes_make_one_run_and_only_the_first_loads_mlflow(here: Path) -> None:
    first, second = launch(f"{JOBS}:train_on_two", world=2, folder=str(here))
    [run] = runs(here)
    assert first.value == {"run": run.info.run_id, "loaded_mlflow": True}
    assert second.value == {"run": None, "loaded_mlflow": False}
    assert run.data.metrics["safeguard/count/rows"] == 8
    assert run.data.tags["safeguards.ended"] == "finished"


def test_mlflow_finds_runs_by_what_was_judged(here: Path) -> None:
    for outcome in ("FAIL", "PASS", "FAIL"):
        tracker = MLflowTracker(tags={"wanted": outcome})
        tracker.publish_safeguards(summary(here / f"run {tracker.run_id}", outcome=outcome))
        tracker.finalize()
    store = client(here)
    everywhere = [one.experiment_id for one in store.search_experiments()]
    for tag in ("safeguards.outcome", "safeguards.fairness.gap"):
        for outcome, count in {"FAIL": 2, "PASS": 1, "ERROR": 0}.items():
            found = store.search_runs(everywhere, f"tags.{tag} = '{outcome}'")
            assert [run.data.tags["wanted"] for run in found] == [outcome] * count
