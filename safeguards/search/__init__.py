"""Hyperparameter search that keeps its safeguards: verdicts as constraints, each trial a group of processes of its own.

Optuna is loaded when a `Search` is made, so that the processes of a trial, which only report, do without it.
"""

from safeguards.search.album import pictures_of, shares_of
from safeguards.search.constraints import Policy
from safeguards.search.declared import declared_limits
from safeguards.search.line import Ending
from safeguards.search.nudges import variants
from safeguards.search.page import sensitivity_page
from safeguards.search.reporter import TrialReporter
from safeguards.search.result import Candidate, Result
from safeguards.search.sensitivity import Sensitivity, search_again, train_variants
from safeguards.search.space import Space, place
from safeguards.search.study import Search, Task
from safeguards.search.torchrun import Torchrun, without_secrets_of

__all__ = [
    "Candidate",
    "Ending",
    "Policy",
    "Result",
    "Search",
    "Sensitivity",
    "Space",
    "Task",
    "Torchrun",
    "TrialReporter",
    "declared_limits",
    "pictures_of",
    "place",
    "search_again",
    "sensitivity_page",
    "shares_of",
    "train_variants",
    "variants",
    "without_secrets_of",
]
