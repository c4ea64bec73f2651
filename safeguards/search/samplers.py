"""Samplers and pruners of Optuna by their short names."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from safeguards.core.errors import ConfigurationError
from safeguards.search.levelled import gaussian

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

__all__ = ["named_pruner", "named_sampler"]

SAMPLERS = {"tpe": "TPESampler", "gp": "GPSampler", "nsga2": "NSGAIISampler", "random": "RandomSampler"}
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "hyperband": "HyperbandPruner",
    "halving": "SuccessiveHalvingPruner",
}


def named_sampler(name: str, seed: int | None, *, drawn: int, unmeasured: float = math.inf) -> BaseSampler:
    """The sampler for a study that holds ``drawn`` trials already.

    The seed is mixed with that number: a sampler that starts anew from the same seed draws the same first trials again.
    A violation of ``unmeasured`` stands for what was never measured.
    """
    import optuna
    from numpy.random import SeedSequence

    if seed is not None and drawn:
        seed = int(SeedSequence([seed, drawn]).generate_state(1)[0])
    known = _known("sampler", name, SAMPLERS)
    if known == "GPSampler":
        return gaussian(seed, unmeasured)
    sampler: BaseSampler = getattr(optuna.samplers, known)(seed=seed)
    return sampler


def named_pruner(name: str) -> BasePruner:
    """The pruner, with Optuna's own settings."""
    import optuna

    pruner: BasePruner = getattr(optuna.pruners, _known("pruner", name, PRUNERS))()
    return pruner


def _known(what: str, name: str, names: dict[str, str]) -> str:
    if name not in names:
        raise ConfigurationError(f"{what}={name!r}: expected {_listed(names)}{_near(name, names)}")
    return names[name]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
