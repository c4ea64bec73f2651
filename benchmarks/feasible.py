"""What it is worth to a sampler to be told the limits, on functions whose feasible region is known.

Nothing is trained, so that hundreds of seeds take minutes. A function stands for a training: the more is learned, the
more accurate the model, up to a point, the less alike the groups and the weaker under attack.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

import numpy as np
from scipy import stats

from benchmarks.hypervolume import hypervolume
from benchmarks.timing import Result
from safeguards.search import Ending, Search, Space, Task

SEEDS, TRIALS, DRAWN = 200, 30, 200_000
SAMPLERS = ("tpe", "nsga2")
GAP_AT_MOST = (0.05, 0.1, 0.2)
OBJECTIVES = ("accuracy", "worst")
REFERENCE = (0.75, 0.69)
GAP, ROBUST = "toy/gap", "toy/robust"
KEYS = ("rate", "width", "dropout", "epochs")
SPACE = Space.read({key: {"type": "float", "low": 0.0, "high": 1.0} for key in KEYS})


def model(given: Mapping[str, float], gap_at_most: float) -> tuple[list[float], dict[str, float]]:
    """The objectives' values, and the violations of what can be measured: a model that learned nothing has no gap."""
    width, dropout = given["width"], given["dropout"]
    learned = 0.4 * given["rate"] + 0.3 * width + 0.3 * given["epochs"]
    accuracy = 0.86 - 0.3 * (learned - 0.75) ** 2 - 0.02 * (dropout - 0.4) ** 2
    worst = accuracy - 0.02 - 0.05 * (dropout - 0.5) ** 2 - 0.03 * (width - 0.5) ** 2
    gap = 0.05 + 0.3 * learned - 0.12 * dropout + 0.05 * math.cos(6 * width)
    robust = 0.78 - 0.45 * learned**2 - 0.1 * width * (1 - dropout)
    violations = {GAP: gap - gap_at_most, ROBUST: 0.54 - robust}
    return [accuracy, worst], violations if learned > 0.15 else {ROBUST: 0.54 - robust}


def measure() -> Result:
    rows = []
    for limit in GAP_AT_MOST:
        share, most = _attainable(limit)
        for sampler in SAMPLERS:
            told = [searched(sampler, seed, limit, told=True) for seed in range(SEEDS)]
            filtered = [searched(sampler, seed, limit, told=False) for seed in range(SEEDS)]
            rows.append((f"{share:.0%}", sampler, *_row(told, filtered, most)))
    return Result(
        title=f"Feasible hypervolume of {TRIALS} trials, functions instead of trainings",
        target="larger with limits that the sampler is told where few trials are feasible",
        headings=(
            "feasible of all", "sampler", "told", "filtered afterwards", "difference", "feasible trials of each",
        ),
        rows=rows,
        notes=[
            f"{SEEDS} seeds; two objectives, two limits. Volumes in percent of what {DRAWN:,} points drawn at random "
            "dominate, whose share of feasible ones names the rows; the difference is by seed, with its 95 % interval "
            "(Student's t). The first ten trials of a pair are alike. NSGA-II has a population of 50 in Optuna: 30 "
            "trials are drawn at random, told or not.",
        ],
    )  # fmt: skip


def searched(sampler: str, seed: int, gap_at_most: float, *, told: bool) -> tuple[float, int]:
    """The feasible hypervolume of a search, and its feasible trials; the same rule judges both."""
    kept: list[list[float]] = []

    def train(task: Task) -> Ending:
        values, violations = model({key: float(task.parameters[key] or 0.0) for key in KEYS}, gap_at_most)
        if len(violations) == 2 and max(violations.values()) <= 0:
            kept.append(values)
        return Ending(state="complete", values=dict(zip(OBJECTIVES, values, strict=True)), violations=violations)

    objectives = dict.fromkeys(OBJECTIVES, "maximize")
    limits = (GAP, ROBUST) if told else ()
    Search(space=SPACE, objectives=objectives, constraints=limits, sampler=sampler, seed=seed).run(train, trials=TRIALS)
    return hypervolume(kept, REFERENCE), len(kept)


def _attainable(gap_at_most: float) -> tuple[float, float]:
    """The share of feasible points, and the volume above the reference that all drawn ones dominate together."""
    points = np.random.default_rng(0).random((DRAWN, len(KEYS)))
    kept = []
    for point in points:
        values, violations = model(dict(zip(KEYS, point, strict=True)), gap_at_most)
        if len(violations) == 2 and max(violations.values()) <= 0:
            kept.append(values)
    return len(kept) / DRAWN, hypervolume(kept, REFERENCE)


def _row(told: list[tuple[float, int]], filtered: list[tuple[float, int]], most: float) -> tuple[str, ...]:
    ours, theirs = ([100 * volume / most for volume, _ in each] for each in (told, filtered))
    more = np.subtract(ours, theirs)
    half = stats.t.ppf(0.975, len(more) - 1) * stats.sem(more)
    feasible = [statistics.mean(count for _, count in each) for each in (told, filtered)]
    return (
        f"{statistics.mean(ours):.1f}",
        f"{statistics.mean(theirs):.1f}",
        f"{more.mean():+.1f} [{more.mean() - half:+.1f}, {more.mean() + half:+.1f}]",
        f"{feasible[0]:.1f}, {feasible[1]:.1f}",
    )
