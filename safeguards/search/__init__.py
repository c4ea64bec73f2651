"""Hyperparameter search that keeps its safeguards: verdicts as constraints, each trial a group of processes of its own.

Optuna is loaded when a `Search` is made, so that the processes of a trial, which only report, do without it.
"""

from safeguards.search.again import Again
from safeguards.search.album import pictures_of, shares_of
from safeguards.search.book import Book
from safeguards.search.constraints import Policy
from safeguards.search.declared import chosen_limits, declared_limits
from safeguards.search.line import Ending
from safeguards.search.nudges import variants
from safeguards.search.page import sensitivity_page
from safeguards.search.reporter import TrialReporter
from safeguards.search.result import Candidate, Result
from safeguards.search.sensitivity import Sensitivity, search_again, train_variants
from safeguards.search.space import Space, place
from safeguards.search.storage import address_of
from safeguards.search.study import Search, Task
from safeguards.search.torchrun import Torchrun, processes_of, without_secrets_of
from safeguards.search.trials import QUIET, Trials, check_edges, reporting

__all__ = [
    "QUIET",
    "Again",
    "Book",
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
    "Trials",
    "address_of",
    "check_edges",
    "chosen_limits",
    "declared_limits",
    "pictures_of",
    "place",
    "processes_of",
    "reporting",
    "search_again",
    "sensitivity_page",
    "shares_of",
    "train_variants",
    "variants",
    "without_secrets_of",
]
