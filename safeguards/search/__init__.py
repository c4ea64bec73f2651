"""Hyperparameter search that keeps its safeguards: verdicts as constraints, each trial a group of processes of its own.

Optuna is loaded when a `Search` is made, so that the processes of a trial, which only report, do without it.
"""

from safeguards.search.album import pictures_of, story_of
from safeguards.search.constraints import Policy
from safeguards.search.declared import declared_limits
from safeguards.search.line import Ending
from safeguards.search.reporter import TrialReporter
from safeguards.search.result import Candidate, Result
from safeguards.search.space import Space, place
from safeguards.search.study import Search, Task
from safeguards.search.torchrun import Torchrun, without_secrets_of

__all__ = [
    "Candidate",
    "Ending",
    "Policy",
    "Result",
    "Search",
    "Space",
    "Task",
    "Torchrun",
    "TrialReporter",
    "declared_limits",
    "pictures_of",
    "place",
    "story_of",
    "without_secrets_of",
]
