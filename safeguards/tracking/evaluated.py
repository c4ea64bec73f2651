"""Verdicts of an evaluation into the MLflow run that it is of."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError
from safeguards.core.redact import known_secrets
from safeguards.tracking.artifacts import stage
from safeguards.tracking.opening import LEDGER
from safeguards.tracking.outcomes import tags_of

if TYPE_CHECKING:
    from safeguards.core.ending import Summary

__all__ = ["expect_free", "keep"]

FOLDER = "safeguards"


def expect_free(run_id: str) -> None:
    """Raise `ConfigurationError` where a run holds verdicts already, which those of an evaluation would replace."""
    from mlflow.tracking import MlflowClient

    if ledger := MlflowClient().get_run(run_id).data.tags.get(LEDGER):
        raise ConfigurationError(
            f"the MLflow run {run_id} already holds the verdicts of {ledger}, which an evaluation does not replace: "
            "evaluate in a run of its own, as in with mlflow.start_run(nested=True)"
        )


def keep(run_id: str, summary: Summary) -> Any:
    """Log metrics, tags and artifacts, and return MLflow's ``EvaluationResult``.

    ``safeguard/<safeguard>/<measure>`` is the value, the same with ``/admits`` 1 where the outcome lets a model
    through, else 0: what `mlflow.validate_evaluation_results` can be given a threshold for.
    """
    from mlflow.models.evaluation import EvaluationResult, artifacts
    from mlflow.tracking import MlflowClient

    result: Any = EvaluationResult  # neither says its types
    artifact: Any = artifacts.JsonEvaluationArtifact
    client, metrics = MlflowClient(), _metrics(summary)
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    for name, text in tags_of(summary).items():
        client.set_tag(run_id, name, text)
    with tempfile.TemporaryDirectory() as place:
        stage(summary.directory, Path(place), known_secrets(os.environ))
        client.log_artifacts(run_id, place, FOLDER)
    uri = f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}/verdicts.jsonl"
    held = artifact(uri=uri, content=[verdict.to_dict() for verdict in summary.verdicts])
    return result(metrics=metrics, artifacts={f"{FOLDER}/verdicts": held}, run_id=run_id)


def _metrics(summary: Summary) -> dict[str, float]:
    found: dict[str, float] = {}
    for verdict in summary.verdicts:
        name = f"safeguard/{verdict.safeguard}/{verdict.measure}"
        found[f"{name}/admits"] = float(verdict.outcome.admits)
        if verdict.value is not None:
            found[name] = verdict.value
    return found
