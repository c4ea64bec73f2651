"""From comparisons to measurements: the worst of a measure, bounds on it, and the words that explain it.

Legend: G groups, C classes taken as the positive one in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from safeguards.core.verdict import Measurement
from safeguards.fairness.comparing import Compared, Comparison
from safeguards.fairness.measures import MEASURES, RATES, Definition
from safeguards.fairness.table import GroupTable

__all__ = ["Worst", "judge", "measure", "worst_of"]

NAMED = 5


class Worst(NamedTuple):
    """Where a measure is worst: the comparison, its class (a column) and the groups with the ends of the rate."""

    part: Comparison
    column: int
    lowest: int
    highest: int


def judge(names: Sequence[str], compared: Compared, *, whole: bool = False) -> dict[str, Measurement]:
    """Every measure in ``names``. A model that gives all rows one class treats groups alike and tells nothing apart."""
    found = {}
    for name in names:
        only = None if MEASURES[name].rates == ("accuracy",) else _only_class(compared.of(MEASURES[name])[0].table)
        unfit = None if only is None else f"the model gives every row class {only}, so groups can only be alike"
        found[name] = measure(name, compared, unfit=unfit, whole=whole)
    return found


def _only_class(table: GroupTable) -> int | None:
    given = np.flatnonzero(table.counts_g3c[:, 1].sum(axis=0))
    return int(given[0]) if len(given) == 1 else None


def measure(name: str, compared: Compared, *, unfit: str | None = None, whole: bool = False) -> Measurement:
    """The worst of a measure over groupings, rates and classes, with bounds on it.

    ``unfit`` says why the number must not decide. ``whole`` is for a decision on the value alone, which no interval
    holds back: then every attribute must be judged.
    """
    definition = MEASURES[name]
    parts = compared.of(definition)
    low, high = (np.concatenate(ends) for ends in zip(*(part.bounds(definition) for part in parts), strict=True))
    pick = definition.compare.worst
    return Measurement(
        value=float(pick(np.concatenate([part.value(definition) for part in parts]))),
        n=parts[0].table.n,
        interval=(float(pick(low)), float(pick(high))),
        note=_note(definition, compared),
        insufficient=unfit or _not_compared(definition, compared, whole),
        details=_details(definition, compared),
    )


def worst_of(definition: Definition, parts: Sequence[Comparison]) -> Worst | None:
    """Where the value comes from, the first place if several tie; None where nothing can be compared."""
    values = [part.value(definition) for part in parts]
    if all(np.isnan(value_c).all() for value_c in values):
        return None
    place = int(definition.compare.arg_worst(np.concatenate(values)))
    columns = [(part, column) for part in parts for column in range(len(part.classes))]
    part, column = columns[place]
    rate_g = part.rate_gc[:, column]
    return Worst(part, column, int(np.nanargmin(rate_g)), int(np.nanargmax(rate_g)))


def _not_compared(definition: Definition, compared: Compared, whole: bool) -> str | None:
    """Why a rate cannot be compared at all or, for the ``whole``, on some attribute."""
    for rate in definition.rates:
        parts = compared.parts[rate]
        idle = [part for part in parts if np.isnan(part.value(definition)).all()]
        if len(idle) == len(parts) or (whole and any(len(part.table.attributes) == 1 for part in idle)):
            reasons = (_why_idle(part, compared.rules.min_support) for part in idle)
            return f"{rate} cannot be compared: {'; '.join(reasons)}"
    return None


def _why_idle(part: Comparison, min_support: int) -> str:
    judged, groups = int(part.judged_gc.sum(axis=0).max()), len(part.table.groups)
    if judged >= 2:
        return f"on {part.table.name} it is 0 in every group"
    if groups == 1:
        return f"{part.table.name} has the one group {part.table.groups[0]}"
    return f"of the {groups} groups of {part.table.name}, {judged} have {min_support} rows or more behind it"


def _note(definition: Definition, compared: Compared) -> str:
    parts = compared.of(definition)
    worst = worst_of(definition, parts)
    left = [f"{each['grouping']}={each['group']} ({each['rows']})" for each in _not_judged(parts)]
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    small = f"not judged, fewer than {compared.rules.min_support} rows: {', '.join(left[:NAMED])}{more}"
    return ". ".join(([_where(worst)] if worst else []) + ([small] if left else []))


def _where(worst: Worst) -> str:
    part, label = worst.part, worst.part.classes[worst.column]
    of_class = "" if label is None or part.table.classes == 2 else f" of class {label}"
    low, high = (
        f"{part.rate_gc[group, worst.column]:.3f} in {part.table.groups[group]} "
        f"({part.counted.rows[group, worst.column]} rows)"
        for group in (worst.lowest, worst.highest)
    )
    return f"worst on {part.table.name}: {part.rate}{of_class} {low} against {high}"


def _not_judged(parts: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Every group that lacks rows for a rate (the fewest of any class), and crossed labels that never occurred."""
    found = [
        {"grouping": part.table.name, "group": part.table.groups[group], "rate": part.rate, "rows": int(rows)}
        for part in parts
        for group, rows in enumerate(part.counted.rows.min(axis=1))
        if not part.judged_gc[group].all()
    ]
    tables = {part.table.name: part.table for part in parts}.values()
    return found + [
        {"grouping": table.name, "group": name, "rate": "any", "rows": 0}
        for table in tables
        for name in table.unseen_names
    ]


def _details(definition: Definition, compared: Compared) -> dict[str, Any]:
    parts = compared.of(definition)
    worst = worst_of(definition, parts)
    label = None if worst is None else worst.part.classes[worst.column]
    column = compared.rules.positive if label is None else label
    tables = {part.table.name: part.table for part in parts}
    return {
        "meaning": definition.meaning,
        "look": compared.look,
        "confidence": 1 - compared.alpha,
        "rates_compared": compared.rates,
        "class": label,
        "by_grouping": {name: _worst_on(definition, parts, name) for name in tables},
        "groups": [row for table in tables.values() for row in _rows(table, column)],
        "not_judged": _not_judged(parts),
        "unseen_combinations": {name: table.unseen for name, table in tables.items() if table.unseen},
    }


def _worst_on(definition: Definition, parts: Sequence[Comparison], name: str) -> float | None:
    values = [part.value(definition) for part in parts if part.table.name == name]
    value = float(definition.compare.worst(np.concatenate(values)))
    return None if np.isnan(value) else value


def _rows(table: GroupTable, column: int) -> list[dict[str, Any]]:
    """The table per group, a class taken as the positive one; a rate without rows is None."""
    rates = {name: rate(table.counts_g3c).value for name, rate in RATES.items()}
    return [
        {
            "grouping": table.name,
            "group": group,
            "n": int(table.counts_g3c[place, 0].sum()),
            "positives": int(table.counts_g3c[place, 0, column]),
            "selected": int(table.counts_g3c[place, 1, column]),
            "true_positives": int(table.counts_g3c[place, 2, column]),
            **{name: _plain(rate_gc[place, min(column, rate_gc.shape[1] - 1)]) for name, rate_gc in rates.items()},
        }
        for place, group in enumerate(table.groups)
    ]


def _plain(rate: float) -> float | None:
    return None if np.isnan(rate) else float(rate)
