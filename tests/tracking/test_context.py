"""Runs that user code makes in a job are told apart by the job's id; outside of one nothing is added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
import pytorch_lightning as pl
from mlflow.tracking.context import registry

from safeguards.core.run import Run
from safeguards.tracking.context import JobContext
from tests.tracking import jobs
from tests.tracking.looking import client


class Inside(pl.Callback):
    """User code with MLflow's fluent interface, in mid-fit."""

    made: str
    job: str

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        with mlflow.start_run(experiment_id="0") as run:
            self.made, self.job = run.info.run_id, Run.of(trainer).run_id


def test_a_run_that_is_made_inside_a_job_names_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    providers = registry._run_context_provider_registry
    monkeypatch.setattr(providers, "_registry", [*providers._registry, JobContext()])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here / 'mlflow.db'}")
    inside, job = Inside(), jobs.trainer(False, here)
    job.callbacks.append(inside)
    assert not JobContext().in_context()
    job.fit(jobs.Net())
    assert not JobContext().in_context()
    tags = client(here).get_run(inside.made).data.tags
    assert tags["safeguards.within"] == inside.job
    assert tags["safeguards.versions"].startswith("safeguards 0.1.0, torch 2.")
    assert "safeguards.run_id" not in tags, "a resumed job would take it for its own"
    with mlflow.start_run(experiment_id="0") as run:
        assert "safeguards.within" not in client(here).get_run(run.info.run_id).data.tags
