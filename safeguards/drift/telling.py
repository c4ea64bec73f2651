"""A comparison as a measurement: the number, the sentence beside it and the details that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from safeguards.core.verdict import Measurement
from safeguards.drift.escape import defused
from safeguards.drift.findings import MIN_ROWS, Comparison, Finding
from safeguards.drift.measures import Standing, drifted_share
from safeguards.drift.profile import Profile
from safeguards.drift.sides import RowTable

__all__ = ["left_out", "measured"]

NAMED_COLUMNS = 3  # in the sentence
KEPT_COLUMNS = 200  # in the details, those that drifted first


def left_out(rows: RowTable, of: str | None) -> list[str]:
    """What of predictions and of the output of the submodule ``of`` is not compared, and why."""
    what = {"predictions": "predictions are"} | ({} if of is None else {"outputs": f"the output of {of!r} is"})
    notes = [f"{name} not compared: {rows.refused[sort]}" for sort, name in what.items() if sort in rows.refused]
    if rows.width > len(rows.outputs) > 0:
        notes.append(
            f"{of!r} gives {rows.width} numbers a row: {len(rows.outputs)} of them, evenly spread, are compared"
        )
    return notes


def measured(
    found: Mapping[str, Comparison],
    reference: Profile,
    current: Profile,
    *,
    count: Finding | None = None,
    notes: Sequence[str] = (),
    torn: Sequence[str] = (),
    rules: Mapping[str, Any] | None = None,
) -> Measurement:
    """What the comparison of two profiles says; half-written files and too few rows carry no decision.

    ``count`` is the finding about row counts: where it counts, it decides also where rows are too few to compare.
    """
    rows = {"reference": reference.rows, "current": current.rows}
    compared = min(len(reference.sample), len(current.sample))
    details = {"rows": rows, "compared": compared, **(rules or {}), "notes": [*notes, *torn], **_kept(found)}
    details |= {} if count is None else {"findings": {count.name: count.text}}
    counts = count is not None and count.counts
    thin = _too_thin(found, rows, torn) if torn or not counts else None
    if not found:
        return Measurement(value=float("nan"), n=compared, insufficient=thin, details=details)
    standings = {name: comparison.standing for name, comparison in found.items()}
    answer = drifted_share(standings, n=compared, note="; ".join([*_said(standings, count), *notes]), details=details)
    return replace(answer, insufficient=thin)


def _too_thin(found: Mapping[str, Comparison], rows: Mapping[str, int], torn: Sequence[str]) -> str | None:
    if torn:
        return "; ".join(torn)
    if not found:
        return "there is no column to compare: give tables that have some"
    side = min(rows, key=lambda name: rows[name])
    return f"{rows[side]} {side} rows, at least {MIN_ROWS} are needed" if rows[side] < MIN_ROWS else None


def _said(standings: Mapping[str, Standing], count: Finding | None) -> list[str]:
    if count is not None and count.counts:
        return [count.text]
    drifted = [defused(name) for name, standing in standings.items() if standing is Standing.DRIFTED]
    undecided = sum(standing is Standing.UNDECIDED for standing in standings.values())
    more = f" and {len(drifted) - NAMED_COLUMNS} more" if len(drifted) > NAMED_COLUMNS else ""
    said = [f"drifted: {', '.join(drifted[:NAMED_COLUMNS])}{more}"] if drifted else []
    why = "too few rows to tell a drift that matters from chance"
    said += [f"{undecided} of {len(standings)} columns undecided: {why}"] if undecided else []
    return said + ([count.text] if undecided and count is not None else [])


def _kept(found: Mapping[str, Comparison]) -> dict[str, Any]:
    order = list(Standing)
    names = sorted(found, key=lambda name: order.index(found[name].standing))
    kept = {name: found[name].plain() for name in names[:KEPT_COLUMNS]}
    return {"columns": kept, "columns_left_out": len(names) - len(kept)}
