"""What is wrong with each column, by name: what broke, what changed, and what cannot be said.

A break counts as drift whatever the tests say: ``column_missing``, ``column_added``, ``type_changed``, ``all_gaps``
and ``infinities`` (where the reference has none). ``values``, ``gaps``, ``unseen`` and ``infinities`` name a comparison
that rejected. ``unseen_values`` and ``too_few_rows`` are told and count for nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from safeguards.drift.looks import Family
from safeguards.drift.measures import (
    Effect,
    Standing,
    category_effect,
    judge,
    number_effect,
    share_effect,
    text_effect,
    unseen_effect,
)
from safeguards.drift.profile import Column, Profile

__all__ = ["MIN_ROWS", "Comparison", "Finding", "compare", "compare_once", "compared"]

MIN_ROWS = 30  # below this Kolmogorov-Smirnov at 5 % sees only distances beyond a third: no evidence either way
TEXT_DISTINCT = 0.5  # words of which more than half are distinct are texts or identifiers, not categories
NAMED_VALUES = 5  # unseen values that a finding spells out


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to know about a column; ``counts`` says whether it alone makes the column drifted."""

    name: str
    text: str
    counts: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One column on both sides."""

    standing: Standing
    p: float | None
    effects: Sequence[Effect]
    findings: Sequence[Finding]
    kind: str

    def plain(self) -> dict[str, Any]:
        """For the details of a verdict."""
        worst = max(self.effects, key=lambda effect: (effect.size, effect.distance), default=None)
        return {
            "standing": self.standing.value,
            "kind": self.kind,
            "findings": {finding.name: finding.text for finding in self.findings},
            "distance": None if worst is None else round(worst.distance, 4),
            "of": None if worst is None else worst.of,
            "p_adjusted": self.p,
        }


def compare(
    reference: Profile,
    current: Profile,
    *,
    families: Iterable[Family],
    min_effect: float,
    columns: Sequence[str] | None = None,
    known: Mapping[str, Sequence[Effect]] | None = None,
) -> dict[str, Comparison]:
    """Every column of either side (or those named in ``columns``), in the order of the reference.

    Each belongs to one of the ``families``, which are judged apart. Effects that are ``known`` are not computed again.
    """
    known = known or {}
    names = compared(reference, current, columns)
    absent = {name: gone for name in names if (gone := _absent(name, reference, current))}
    pairs = {name: _aligned(reference.columns[name], current.columns[name]) for name in names if name not in absent}
    findings = {name: [gone] for name, gone in absent.items()}
    findings |= {name: _look(*pair) for name, pair in pairs.items()}
    whole = {name: pair for name, pair in pairs.items() if not _breaks(findings[name])}
    effects = {name: known[name] if name in known else _effects(*pair) for name, pair in whole.items()}
    judged: dict[str, tuple[Standing, float]] = {}
    for family in families:
        together = {name: effects[name] for name in family.columns if name in effects}
        judged |= judge(together, alpha=family.alpha, min_effect=min_effect)
    return {
        name: _comparison(findings[name], effects.get(name, ()), judged.get(name), pairs.get(name), min_effect)
        for name in names
    }


def compare_once(reference: Profile, current: Profile, *, alpha: float, min_effect: float) -> dict[str, Comparison]:
    """Every column of either side in one family, as two tables are compared that nobody looks at again."""
    whole = Family(columns=compared(reference, current), digest="", look=1, alpha=alpha)
    return compare(reference, current, families=[whole], min_effect=min_effect)


def compared(reference: Profile, current: Profile, columns: Sequence[str] | None = None) -> list[str]:
    """The names of the columns that `compare` compares."""
    return list(dict.fromkeys([*(columns or ()), *reference.columns, *current.columns]))


def _absent(name: str, reference: Profile, current: Profile) -> Finding | None:
    if name in current.columns and name in reference.columns:
        return None
    if name in reference.columns:
        return Finding(name="column_missing", text="the reference has it, the current rows do not", counts=True)
    if name in current.columns:
        return Finding(name="column_added", text="the current rows have it, the reference does not", counts=True)
    return Finding(name="column_missing", text="neither side has it", counts=True)


def _aligned(reference: Column, current: Column) -> tuple[Column, Column]:
    """The two sides as one kind, where a source without types is all that sets them apart."""
    kinds = {reference.kind, current.kind}
    if kinds == {"number", "words"} and (reference.loose or current.loose):
        return _as_words(reference), _as_words(current)
    if kinds == {"time", "words"} and (reference.loose or current.loose):
        return _as_times(reference), _as_times(current)
    return reference, current


def _as_words(column: Column) -> Column:
    if column.kind != "number":
        return column
    return replace(column, kind="words", values=np.array([f"{value:.15g}" for value in column.values], dtype=object))


def _as_times(column: Column) -> Column:
    if column.kind == "time":
        return column
    import pandas as pd

    moments = pd.to_datetime(pd.Series(column.values), errors="coerce", utc=True, format="ISO8601")
    if moments.isna().any():
        return column
    return replace(column, kind="time", values=moments.astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1e6)


def _look(reference: Column, current: Column) -> list[Finding]:
    if current.kind == "empty" and reference.kind != "empty":
        return [Finding(name="all_gaps", text="every current value is missing", counts=True)]
    if reference.kind != current.kind and reference.kind != "empty":
        text = f"{reference.kind} in the reference, {current.kind} in the current rows"
        return [Finding(name="type_changed", text=text, counts=True)]
    found = [_infinities(reference, current), _unseen(reference, current), _too_few(reference, current)]
    return [finding for finding in found if finding]


def _infinities(reference: Column, current: Column) -> Finding | None:
    if not current.infinities or reference.infinities:
        return None
    text = f"{current.infinities} of {current.rows} current values are infinite, none of the reference"
    return Finding(name="infinities", text=text, counts=True)


def _unseen(reference: Column, current: Column) -> Finding | None:
    if reference.counts is None or current.counts is None:
        return None
    fresh = {word: count for word, count in current.counts.items() if word not in reference.counts}
    if not fresh:
        return None
    shown = ", ".join(repr(word[:40]) for word in sorted(fresh, key=lambda word: (-fresh[word], word))[:NAMED_VALUES])
    share = sum(fresh.values()) / current.rows
    text = f"{len(fresh)} values that the reference lacks, in {share:.1%} of the current rows: {shown}"
    return Finding(name="unseen_values", text=text)


def _too_few(reference: Column, current: Column) -> Finding | None:
    n, m = len(reference.values), len(current.values)
    if min(n, m) >= MIN_ROWS or {reference.kind, current.kind} == {"empty"}:
        return None
    text = f"{n} reference and {m} current values in the sample, at least {MIN_ROWS} each are needed to compare them"
    return Finding(name="too_few_rows", text=text)


def _breaks(findings: Sequence[Finding]) -> bool:
    return any(finding.counts for finding in findings)


def _effects(reference: Column, current: Column) -> list[Effect]:
    """The comparisons that the column allows; none where one of them lacks rows, so that it cannot be called stable."""
    if min(reference.rows, current.rows) < MIN_ROWS:
        return []
    effects = [share_effect(reference.gaps, reference.rows, current.gaps, current.rows, of="gaps")]
    if reference.infinities:
        n, m = reference.rows, current.rows
        effects.append(share_effect(reference.infinities, n, current.infinities, m, of="infinities"))
    if min(len(reference.values), len(current.values)) >= MIN_ROWS:
        effects += _value_effects(reference, current)
    return effects


def _value_effects(reference: Column, current: Column) -> list[Effect]:
    then, now = reference.values, current.values
    if reference.kind != "words":
        return [number_effect(then, now)]
    distinct = len(set(then) | set(now)) / (len(then) + len(now))
    values = text_effect(then, now) if distinct > TEXT_DISTINCT else category_effect(then, now)
    return [values, unseen_effect(then, now)]


def _comparison(
    findings: Sequence[Finding],
    effects: Sequence[Effect],
    judged: tuple[Standing, float] | None,
    pair: tuple[Column, Column] | None,
    min_effect: float,
) -> Comparison:
    kind = pair[0].kind if pair else "absent"
    if judged is None:
        return Comparison(standing=Standing.DRIFTED, p=None, effects=effects, findings=findings, kind=kind)
    standing, p = judged
    if standing is Standing.DRIFTED:
        findings = [*findings, *_rejected(effects, min_effect)]
    if standing is Standing.STABLE and any(finding.name == "too_few_rows" for finding in findings):
        standing = Standing.UNDECIDED
    return Comparison(standing=standing, p=p, effects=effects, findings=findings, kind=kind)


def _rejected(effects: Sequence[Effect], min_effect: float) -> list[Finding]:
    return [Finding(name=effect.of, text=_said(effect)) for effect in effects if effect.size >= min_effect]


def _said(effect: Effect) -> str:
    return f"distance {effect.distance:.3g}, p {effect.p:.2g}, {effect.n} rows against {effect.m}"
