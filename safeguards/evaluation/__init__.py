"""Verdicts on predictions, whatever made them: MLflow's evaluator ``safeguards``. Light, as MLflow loads it at once."""

from typing import TYPE_CHECKING

from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.evaluation.evaluator import SafeguardsEvaluator
    from safeguards.evaluation.predictions import judge_predictions

__all__ = ["SafeguardsEvaluator", "judge_predictions"]

__getattr__ = lazy(__name__, {"SafeguardsEvaluator": "evaluator", "judge_predictions": "predictions"})
