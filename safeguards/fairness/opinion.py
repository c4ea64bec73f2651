"""A second opinion: the same numbers by fairlearn's own rates, over the cells of the tables.

A table's cell (group, true, predicted) stands for all its rows with its count as ``sample_weight``, which gives
fairlearn's exact row-level numbers. In multi-class it looks at the worst class of each grouping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from safeguards.fairness.comparing import Compared, Comparison
from safeguards.fairness.judging import worst_of
from safeguards.fairness.measures import MEASURES, Counts

__all__ = ["Cells", "cells_of", "disagreement", "fairlearn_value"]

Cells = dict[str, Any]


def cells_of(counts_g3c: Counts, groups: Sequence[int], column: int | None) -> Cells:
    """The cells of some groups, one class against the rest; without a class, right against wrong."""
    cells = [(g, *cell) for g in groups for cell in _four(counts_g3c[g], column) if cell[2]]
    group, true, predicted, weight = (np.array(side, dtype=np.int64) for side in zip(*cells, strict=True))
    return {"y_true": true, "y_pred": predicted, "sensitive_features": group, "sample_weight": weight}


def _four(counts_3c: Counts, column: int | None) -> list[tuple[int, int, int]]:
    rows = int(counts_3c[0].sum())
    if column is None:
        right = int(counts_3c[2].sum())
        return [(1, 1, right), (1, 0, rows - right)]
    true, predicted, both = (int(count) for count in counts_3c[:, column])
    return [(1, 1, both), (1, 0, true - both), (0, 1, predicted - both), (0, 0, rows - true - predicted + both)]


def fairlearn_value(name: str, rate: str, cells: Cells) -> float:
    """A measure, or the part of it that one rate decides, of fairlearn's rate in each group.

    A ``MetricFrame`` has the same rates and takes several times as long, for aggregates that nobody asks for.
    """
    function = _function(rate)
    rates = [function(**_of_group(cells, group)) for group in np.unique(cells["sensitive_features"])]
    smallest, largest = float(min(rates)), float(max(rates))
    if name == "worst_group_accuracy":
        return smallest
    if name == "demographic_parity_ratio":
        return smallest / largest if largest else float("nan")
    return largest - smallest


def _function(rate: str) -> Callable[..., float]:
    if rate == "accuracy":
        from sklearn.metrics import accuracy_score

        return cast(Callable[..., float], accuracy_score)
    from fairlearn import metrics

    return cast(Callable[..., float], getattr(metrics, rate))


def _of_group(cells: Cells, group: int) -> dict[str, Any]:
    own = cells["sensitive_features"] == group
    return {key: cells[key][own] for key in ("y_true", "y_pred", "sample_weight")}


def disagreement(name: str, compared: Compared, value: float) -> str | None:
    """What differs from fairlearn's number, in a sentence; None when it is the same to the last bit."""
    definition = MEASURES[name]
    numbers = [number for part in compared.of(definition) if (number := _theirs(name, part)) is not None]
    theirs = float(definition.compare.worst(numbers)) if numbers else float("nan")
    if theirs == value or (np.isnan(theirs) and np.isnan(value)):
        return None
    return f"fairlearn computes {theirs!r} over the same table, this safeguard {value!r}"


def _theirs(name: str, part: Comparison) -> float | None:
    worst = worst_of(MEASURES[name], [part])
    if worst is None:
        return None
    groups = np.flatnonzero(part.judged_gc[:, worst.column]).tolist()
    return fairlearn_value(name, part.rate, cells_of(part.table.counts_g3c, groups, part.classes[worst.column]))
