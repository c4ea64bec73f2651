"""Fairness to groups: differences between groups in what a classifier predicts, with bounds that hold together."""

from safeguards.fairness.guard import FairnessCheck
from safeguards.fairness.measures import MEASURES
from safeguards.fairness.rows import compare_groups

__all__ = ["MEASURES", "FairnessCheck", "compare_groups"]
