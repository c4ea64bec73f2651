"""From comparisons to measurements: the worst of a measure, bounds on it, and the words that explain it.

Legend: G groups, C classes taken as the positive one in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from safeguards.core.limit import DecideOn, Limit, decide
from safeguards.core.verdict import Measurement
from safeguards.fairness.comparing import Compared, Comparison
from safeguards.fairness.measures import MEASURES, RATES, Definition
from safeguards.fairness.table import GroupTable

__all__ = ["Worst", "held_back", "judge", "worst_of"]

NAMED = 5


class Worst(NamedTuple):
    """Where a measure is worst: the comparison, its class (a column) and the groups with the ends of the rate."""

    part: Comparison
    column: int
    lowest: int
    highest: int


def judge(name: str, compared: Compared) -> Measurement:
    """The worst of a measure over groupings, rates and classes, with bounds on it, of the groups that can be judged."""
    definition = MEASURES[name]
    parts = compared.of(definition)
    pick = definition.compare.worst
    low, high = (np.concatenate(ends) for ends in zip(*(part.bounds(definition) for part in parts), strict=True))
    value = float(pick(np.concatenate([part.value(definition) for part in parts])))
    return Measurement(
        value=value,
        n=parts[0].table.n,
        interval=None if np.isnan(value) else (float(pick(low)), float(pick(high))),
        note=_note(definition, compared),
        insufficient=_trivial(definition, parts[0].table) or ("nothing to compare" if np.isnan(value) else None),
        details=_details(definition, compared),
    )


def held_back(found: Measurement, limit: Limit, *, on: DecideOn, ignore_small: bool) -> Measurement:
    """The same measurement, unless it would be let through although groups were not judged: then INCONCLUSIVE.

    Fewer rows must never make a verdict easier to pass. ``ignore_small`` lets groups with too few rows go, but not a
    rate that could be compared nowhere on an attribute.
    """
    missing = found.details["not_compared"] or (found.details["not_judged"] and not ignore_small)
    if not missing or not decide(found, limit, on=on).outcome.admits:
        return found
    said = f"the groups that could be compared are within ({found.value:.4g} against {limit}, n={found.n})"
    return replace(
        found, insufficient=f"{said}, but not all could: give them rows, merge them, or say ignore_small=True"
    )


def _trivial(definition: Definition, table: GroupTable) -> str | None:
    """A model that gives every row one class treats groups alike and tells nothing apart."""
    given = np.flatnonzero(table.counts_g3c[:, 1].sum(axis=0))
    if definition.rates == ("accuracy",) or len(given) != 1:
        return None
    return f"the model gives every row class {given[0]}, so groups can only be alike"


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


def _not_compared(definition: Definition, parts: Sequence[Comparison], min_support: int) -> list[str]:
    """In words: each rate that could not be compared on a grouping, and each class without a ratio."""
    found = []
    for part in parts:
        value_c = part.value(definition)
        if not part.comparable_c.any():
            found.append(f"{part.rate} on {part.table.name}, {_why_idle(part, min_support)}")
        elif never := [part.classes[place] for place in np.flatnonzero(part.comparable_c & np.isnan(value_c))]:
            found.append(f"{part.rate} on {part.table.name}, which is 0 in every group for class {never[0]}")
    return found


def _why_idle(part: Comparison, min_support: int) -> str:
    groups = part.table.groups
    if len(groups) == 1:
        return f"which has the one group {groups[0]}"
    judged = int(part.judged_gc.sum(axis=0).max())
    return f"where {judged} of {len(groups)} groups have the {min_support} rows it takes"


def _note(definition: Definition, compared: Compared) -> str:
    parts, least = compared.of(definition), compared.rules.min_support
    worst = worst_of(definition, parts)
    fewest: dict[str, int] = {}
    for each in _not_judged(parts):
        fewest[each["group"]] = min(each["rows"], fewest.get(each["group"], least))
    left = [f"{group} ({rows})" for group, rows in fewest.items()]
    idle = _not_compared(definition, parts, least)
    texts = [_where(worst)] if worst else []
    texts += [f"not compared: {_some(idle)}"] if idle else []
    texts += [f"not judged, with fewer than {least} rows: {_some(left)}"] if left else []
    return ". ".join(texts)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _where(worst: Worst) -> str:
    part, label = worst.part, worst.part.classes[worst.column]
    of_class = "" if label is None or part.table.classes == 2 else f" of class {label}"
    rate_g, groups = part.rate_gc[:, worst.column], part.table.groups
    if rate_g[worst.lowest] == rate_g[worst.highest]:
        return f"{part.rate}{of_class} is {rate_g[worst.lowest]:.3f} in every group of {part.table.name}"
    low, high = (
        f"{rate_g[group]:.3f} in {groups[group]} ({part.counted.rows[group, worst.column]} rows)"
        for group in (worst.lowest, worst.highest)
    )
    return f"worst: {part.rate}{of_class} {low} against {high}"


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
        "not_compared": _not_compared(definition, parts, compared.rules.min_support),
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
