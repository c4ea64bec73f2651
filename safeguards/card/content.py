"""What a card tells of a record, as sources: which verdicts are the last, where groups, curves and columns stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safeguards.card.evidence import Source, key
from safeguards.core.report import latest
from safeguards.core.verdict import Outcome, Verdict
from safeguards.gate import Record

__all__ = ["Bounded", "Column", "Content", "Curve", "Group", "Judged", "Moments", "Rate", "content_of"]

MOST_LOOKS = 40
RATES = {
    "accuracy": "accuracy",
    "selection_rate": "selection rate",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict with its pointer; ``rival`` is that of the champion's last verdict of the same measure. ``looks`` are
    the verdicts on it over training; ``more`` says that there were others, of which none failed.
    """

    verdict: Verdict
    pointer: str
    looks: tuple[str, ...] = ()
    more: bool = False
    rival: str | None = None

    @property
    def bound(self) -> str | None:
        """The pointer to the number of its limit."""
        limit = self.verdict.limit
        return (
            None if limit is None else f"{self.pointer}/limit/{'at_most' if limit.at_most is not None else 'at_least'}"
        )


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """A value with the ends of its interval, and how many rows it is of."""

    value: Source
    low: Source | None = None
    high: Source | None = None
    rows: Source | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group: its name, its rows, and each of its rates."""

    name: Source
    rows: Source
    rates: Mapping[str, Bounded]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One rate over all groups, for a plot."""

    name: str
    bars: tuple[tuple[Source, Bounded], ...]


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of one verdict; ``unjudged`` names those that were too small."""

    judged: Judged
    confidence: str
    groups: tuple[Group, ...]
    unjudged: tuple[Source, ...]

    @property
    def rates(self) -> list[Rate]:
        """Each rate that all groups have."""
        names = [name for name in RATES.values() if all(name in group.rates for group in self.groups)]
        return [Rate(name=name, bars=tuple((group.name, group.rates[name]) for group in self.groups)) for name in names]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Robust accuracy over eps, with what the attack was and which checks it passed."""

    judged: Judged
    clean: str | None
    points: tuple[tuple[str, Bounded], ...]
    attack: tuple[Source, ...]
    checks: tuple[tuple[Source, str], ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a drift report."""

    name: Source
    standing: str
    word: str
    distance: str | None
    p: str | None


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The columns of one verdict, those that drifted first."""

    judged: Judged
    least: str | None
    columns: tuple[Column, ...]
    page: str | None


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The verdicts that failed at one step, which is where the safeguards acted."""

    failed: tuple[str, ...]

    @property
    def first(self) -> str:
        """The pointer of the first of them."""
        return self.failed[0]


@dataclass(frozen=True, kw_only=True)
class Content:
    """All that is drawn or listed."""

    last: tuple[Judged, ...]
    silent: tuple[Judged, ...]
    undecided: tuple[Judged, ...]
    groups: tuple[Groups, ...]
    curves: tuple[Curve, ...]
    drift: tuple[Drift, ...]
    lost: tuple[str, ...]
    moments: tuple[Moments, ...]

    @property
    def trails(self) -> list[Judged]:
        """Measures that were looked at more than once, and gave a number each time that is drawn."""
        return [one for one in self.last if len(one.looks) > 1 and one.verdict.value is not None]


def content_of(record: Record, champion: Record | None) -> Content:
    """Everything by pointer. ``lost`` are last verdicts of the champion that this record has no counterpart of."""
    rivals = {_same(one.verdict): one.pointer for one in _last(champion, "champion")}
    last = tuple(replace(one, rival=rivals.get(_same(one.verdict))) for one in _last(record, "record"))
    mine = {_same(one.verdict) for one in last}
    return Content(
        last=last,
        silent=tuple(one for one in last if one.verdict.outcome in (Outcome.NOT_EVALUATED, Outcome.ERROR)),
        undecided=tuple(one for one in last if one.verdict.outcome is Outcome.INCONCLUSIVE),
        groups=tuple(found for one in _once(last, "groups") if (found := _groups(one))),
        curves=tuple(_curve(one) for one in last if _is_list(one, "curve")),
        drift=tuple(_drift(one) for one in last if isinstance(one.verdict.details.get("columns"), Mapping)),
        lost=tuple(pointer for same, pointer in rivals.items() if same not in mine),
        moments=_moments(record),
    )


def _same(verdict: Verdict) -> tuple[str, str, str, str | None]:
    return verdict.safeguard, verdict.measure, verdict.moment.stage, verdict.moment.loader


def _last(record: Record | None, whose: str) -> list[Judged]:
    if record is None:
        return []
    place = {id(verdict): number for number, verdict in enumerate(record.verdicts)}
    looks: dict[tuple[str, str, str, str | None], list[str]] = {}
    for number, verdict in enumerate(record.verdicts):
        looks.setdefault(_same(verdict), []).append(f"/{whose}/verdicts/{number}")
    return [
        Judged(
            verdict=one,
            pointer=f"/{whose}/verdicts/{place[id(one)]}",
            looks=_thinned(looks[_same(one)], record),
            more=len(looks[_same(one)]) > MOST_LOOKS,
        )
        for one in latest(record.verdicts)
    ]


def _thinned(looks: Sequence[str], record: Record) -> tuple[str, ...]:
    """At most so many that a page can hold them, evenly, the first and the last among them; and those that failed."""
    if len(looks) <= MOST_LOOKS:
        return tuple(looks)
    kept = {round(place * (len(looks) - 1) / (MOST_LOOKS - 1)) for place in range(MOST_LOOKS)}
    return tuple(look for place, look in enumerate(looks) if place in kept or _failed(record, look))


def _failed(record: Record, look: str) -> bool:
    return record.verdicts[int(look.rpartition("/")[2])].outcome is Outcome.FAIL


def _moments(record: Record) -> tuple[Moments, ...]:
    found: dict[int, list[str]] = {}
    for place, verdict in enumerate(record.verdicts):
        if verdict.outcome is Outcome.FAIL:
            found.setdefault(verdict.moment.step, []).append(f"/record/verdicts/{place}")
    return tuple(Moments(failed=tuple(found[step])) for step in sorted(found))


def _is_list(judged: Judged, name: str) -> bool:
    value = judged.verdict.details.get(name)
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _once(last: Sequence[Judged], name: str) -> list[Judged]:
    """One verdict of each safeguard, stage and loader: its measures repeat the same table."""
    found: dict[tuple[str, str, str | None], Judged] = {}
    for one in last:
        if _is_list(one, name):
            found.setdefault((one.verdict.safeguard, one.verdict.moment.stage, one.verdict.moment.loader), one)
    return list(found.values())


def _groups(judged: Judged) -> Groups | None:
    details, top = judged.verdict.details, f"{judged.pointer}/details"
    rows: list[Mapping[str, Any]] = details["groups"]
    if not all({"group", "n"} <= {*row} for row in rows) or not {"confidence", "rates_compared"} <= {*details}:
        return None
    unjudged = details.get("not_judged")
    return Groups(
        judged=judged,
        confidence=f"{top}/confidence",
        groups=tuple(_group(row, f"{top}/groups/{place}", top) for place, row in enumerate(rows)),
        unjudged=tuple(_names(unjudged, f"{top}/not_judged")),
    )


def _names(value: Any, top: str) -> list[Source]:
    if isinstance(value, Mapping):
        return [("name", f"{top}/{key(name)}") for name in value]
    return [_named(one, f"{top}/{place}") for place, one in enumerate(value or ())]


def _named(one: Any, pointer: str) -> Source:
    return f"{pointer}/group" if isinstance(one, Mapping) and "group" in one else pointer


def _group(row: Mapping[str, Any], pointer: str, top: str) -> Group:
    """The rows that a rate is of: those with the true label for one rate, without it for another, else all."""
    doubt = (f"{top}/confidence", f"{top}/rates_compared")
    rows, positives = f"{pointer}/n", f"{pointer}/positives"
    of: dict[str, tuple[str, tuple[str, ...], Source]] = {
        "accuracy": ("", (rows,), rows),
        "selection_rate": ("", (rows,), rows),
        "true_positive_rate": ("", (positives,), positives),
        "false_positive_rate": (" of the rest", (rows, positives), ("less", rows, positives)),
    }
    rates = {}
    for name, (kind, counts, whole) in of.items():
        if isinstance(row.get(name), (int, float)) and (name in ("accuracy", "selection_rate") or "positives" in row):
            rate = f"{pointer}/{name}"
            rates[RATES[name]] = Bounded(
                value=rate,
                low=(f"low{kind}", rate, *counts, *doubt),
                high=(f"high{kind}", rate, *counts, *doubt),
                rows=whole,
            )
    return Group(name=f"{pointer}/group", rows=rows, rates=rates)


def _curve(judged: Judged) -> Curve:
    details, top = judged.verdict.details, f"{judged.pointer}/details"
    points = []
    for place, point in enumerate(details["curve"]):
        if isinstance(point.get("eps"), (int, float)) and isinstance(point.get("accuracy"), (int, float)):
            here = f"{top}/curve/{place}"
            ends = (f"{here}/interval/0", f"{here}/interval/1") if point.get("interval") else (None, None)
            points.append((f"{here}/eps", Bounded(value=f"{here}/accuracy", low=ends[0], high=ends[1])))
    described = [
        f"{top}/{part}/{key(name)}"
        for part in ("attack", "threat")
        if isinstance(details.get(part), Mapping)
        for name, value in details[part].items()
        if isinstance(value, (str, int, float)) and not isinstance(value, bool)
    ]
    checks = details.get("checks")
    return Curve(
        judged=judged,
        clean=f"{top}/clean_accuracy" if "clean_accuracy" in details else None,
        points=tuple(points),
        attack=tuple(described),
        checks=tuple(
            (("name", f"{top}/checks/{key(name)}"), f"{top}/checks/{key(name)}")
            for name in (checks if isinstance(checks, Mapping) else ())
        ),
    )


def _drift(judged: Judged) -> Drift:
    details, top = judged.verdict.details, f"{judged.pointer}/details"
    columns = []
    for name, found in details["columns"].items():
        if isinstance(found, Mapping) and "standing" in found:
            here = f"{top}/columns/{key(name)}"
            columns.append(
                Column(
                    name=("name", here),
                    standing=f"{here}/standing",
                    word=str(found["standing"]),
                    distance=f"{here}/distance" if found.get("distance") is not None else None,
                    p=f"{here}/p_adjusted" if found.get("p_adjusted") is not None else None,
                )
            )
    order = {"drifted": 0, "undecided": 1}
    columns.sort(key=lambda one: order.get(one.word, 2))
    page = details.get("page")
    return Drift(
        judged=judged,
        least=f"{top}/min_effect" if "min_effect" in details else None,
        columns=tuple(columns),
        page=f"safeguards/{page}" if isinstance(page, str) else None,
    )
