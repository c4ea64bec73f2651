"""What ``mlflow.models.evaluate(..., evaluators=["safeguards"])`` asks: predictions in, verdicts into its run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safeguards.core.errors import ConfigurationError
from safeguards.tracking import evaluated

__all__ = ["SafeguardsEvaluator"]


class SafeguardsEvaluator:
    """Of the entry point ``mlflow.model_evaluator``; MLflow calls the two methods by keyword.

    ``evaluator_config`` holds the arguments of `judge_predictions` but for the rows: ``limits``, ``groups``,
    ``output``, ``classes``, ``fairness``, ``drift``. The verdicts are metrics, tags and artifacts of
    the run, as those of a training run are.
    """

    @classmethod
    def can_evaluate(cls, *, model_type: str | None, evaluator_config: Any, **_: Any) -> bool:
        """Classifiers, and what is of no type that MLflow knows. Without a configuration there is nothing to judge."""
        return model_type in (None, "classifier") and bool(evaluator_config)

    def evaluate(
        self, *, dataset: Any, run_id: str, evaluator_config: Mapping[str, Any], model: Any = None, **_: Any
    ) -> Any:
        """Judge, and return MLflow's result: ``safeguard/<topic>/<measure>``, and ``.../admits``, 1 or 0, to threshold.

        Raises `ConfigurationError` for a configuration that makes no sense, and for a run that holds verdicts already.
        """
        from safeguards.evaluation.predictions import judge_predictions

        if dataset.labels_data is None:
            raise ConfigurationError("mlflow.models.evaluate(targets=None): verdicts need the true class of each row")
        evaluated.expect_free(run_id)
        predictions = dataset.predictions_data if model is None else model.predict(dataset.features_data)
        with tempfile.TemporaryDirectory() as place:
            summary = judge_predictions(
                features=dataset.features_data,
                predictions=predictions,
                targets=dataset.labels_data,
                directory=Path(place),
                **_arguments(evaluator_config),
            )
            return evaluated.keep(run_id, summary)


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    known = ("limits", "groups", "output", "classes", "fairness", "drift")
    for key in config:
        if key not in known:
            raise ConfigurationError(f"evaluator_config has no key {str(key)!r}; it has {', '.join(known)}")
    return {str(key): value for key, value in config.items()}
