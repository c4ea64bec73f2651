"""Fairness to groups: differences between groups in what a classifier predicts, with bounds that hold together."""

from safeguards.fairness.guard import FairnessCheck

__all__ = ["FairnessCheck"]
