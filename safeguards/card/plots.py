"""Drawings of a card, as SVG that prints and needs no script. Every number in them is cited; the table below each has
the same ones for who cannot see it. Shapes carry the outcome as colours do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from safeguards.card.citing import Citer
from safeguards.card.content import Bounded, Column, Judged
from safeguards.card.evidence import Source, key

__all__ = ["bars", "columns", "costs", "curve", "lines", "trail"]

WIDTH, LEFT, RIGHT = 640.0, 170.0, 70.0
ROW, TOP, BOTTOM = 26.0, 8.0, 22.0
TALL = 190.0
MOST_COLUMNS = 30
MOST_CURVES = 4


class Scale:
    """From values to places. A span of nothing is widened, so that a single value has a place."""

    def __init__(self, values: Sequence[float], low: float, high: float) -> None:
        held = [value for value in values if math.isfinite(value)] or [0.0]
        self.least, most = min(held), max(held)
        self.span = (most - self.least) or abs(most) or 1.0
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        """Values outside lie on the edge."""
        share = (value - self.least) / self.span
        return self.low + min(1.0, max(0.0, share)) * (self.high - self.low)


def _svg(height: float, title: str, parts: Sequence[Markup], *, says: str) -> Markup:
    """``title`` and ``says`` hold no number: nothing in them could be followed to its evidence."""
    return Markup(
        '<svg class="plot" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{title}. {says}">{parts}</svg>'
    ).format(width=WIDTH, height=height, title=title, says=says, parts=Markup("\n").join(parts))


def _text(x: float, y: float, said: object, *, at: str = "start", kind: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(x, y, at, kind, said)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, kind)


def _bar(x: float, y: float, width: float, kind: str) -> Markup:
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="12" rx="2" class="bar {}"/>').format(
        x, y - 6, max(width, 1.0), kind
    )


def _values(cite: Citer, sources: Sequence[Source | None]) -> list[float]:
    return [float(cite.value(source)) for source in sources if source is not None]


def bars(cite: Citer, title: str, rows: Sequence[tuple[Source, Bounded]]) -> Markup:
    """A rate from 0 to 1 by group, with the interval as a whisker over the bar."""
    across = Scale([0.0, 1.0], LEFT, WIDTH - RIGHT)
    height = TOP + ROW * len(rows) + 6
    parts = [_line(across(0), TOP, across(0), height - 4, "axis")]
    for place, (name, one) in enumerate(rows):
        y = TOP + ROW * place + ROW / 2
        (value,) = _values(cite, [one.value])
        ends = _values(cite, [one.low, one.high])
        parts += [
            _text(LEFT - 10, y + 4, cite(name, "name", plot=True), at="end"),
            _bar(across(0), y, across(value) - across(0), "plain"),
            *_whisker(across, ends, y),
            _text(WIDTH - RIGHT + 10, y + 4, cite(one.value, plot=True), kind="value"),
        ]
    return _svg(
        height, title, parts, says="One bar for each group, with its interval; the table below has the numbers."
    )


def _whisker(across: Scale, ends: Sequence[float], y: float) -> list[Markup]:
    if len(ends) != 2:
        return []
    low, high = across(ends[0]), across(ends[1])
    return [
        _line(low, y, high, y, "whisker"),
        _line(low, y - 4, low, y + 4, "whisker"),
        _line(high, y - 4, high, y + 4, "whisker"),
    ]


def curve(cite: Citer, points: Sequence[tuple[str, Bounded]], clean: str | None, bound: str | None) -> Markup:
    """Robust accuracy over eps: the line, its intervals, the limit."""
    across = Scale([0.0, *_values(cite, [eps for eps, _ in points])], 60, WIDTH - RIGHT)
    down = Scale([0.0, 1.0], TALL - BOTTOM, TOP + 14)
    parts = [_line(60, down(0), WIDTH - RIGHT, down(0), "axis"), *_limit(cite, bound, down, 60)]
    places: list[tuple[float, float]] = []
    if clean is not None:
        places.append((across(0), down(*_values(cite, [clean]))))
        parts.append(_text(across(0), places[0][1] - 9, cite(clean, plot=True), at="middle", kind="value"))
        parts.append(_text(across(0), TALL - 6, "clean", at="middle", kind="quiet"))
    for eps, one in points:
        x, y = across(*_values(cite, [eps])), down(*_values(cite, [one.value]))
        places.append((x, y))
        ends = _values(cite, [one.low, one.high])
        parts += [_line(x, down(ends[0]), x, down(ends[1]), "whisker")] if len(ends) == 2 else []
        parts.append(_text(x + 7, y - 7, cite(one.value, plot=True), kind="value"))
        parts.append(_text(x, TALL - 6, cite(eps, plot=True), at="middle", kind="quiet"))
    parts += [_path(places), *(_dot(x, y, "plain") for x, y in places)]
    return _svg(TALL, "Robust accuracy over eps", parts, says="It falls with eps; the table below has the numbers.")


def trail(cite: Citer, judged: Judged) -> Markup:
    """A measure over training: each look with its interval and outcome, and the limit."""
    looks = [look for look in judged.looks if cite.value(f"{look}/value") is not None]
    ends = [f"{look}/interval/{end}" for look in looks if cite.value(f"{look}/interval") for end in (0, 1)]
    values = _values(cite, [*(f"{look}/value" for look in looks), *ends, judged.bound])
    down, steps = Scale(values, TALL - BOTTOM - 6, TOP + 16), _values(cite, [f"{look}/moment/step" for look in looks])
    across = Scale(steps, 70, WIDTH - RIGHT - 10)
    parts = [_line(60, TALL - BOTTOM, WIDTH - RIGHT, TALL - BOTTOM, "axis"), *_limit(cite, judged.bound, down, 60)]
    places = [(across(step), down(*_values(cite, [f"{look}/value"]))) for look, step in zip(looks, steps, strict=True)]
    parts.append(_path(places))
    for look, (x, y) in zip(looks, places, strict=True):
        if cite.value(f"{look}/interval"):
            low, high = _values(cite, [f"{look}/interval/0", f"{look}/interval/1"])
            parts.append(_line(x, down(low), x, down(high), "whisker"))
        parts.append(_dot(x, y, str(cite.value(f"{look}/outcome")).lower()))
    for look, (x, y) in {0: (looks[0], places[0]), 1: (looks[-1], places[-1])}.values():
        parts.append(_text(x + 8, y - 7, cite(f"{look}/value", plot=True), kind="value"))
        parts.append(_text(x, TALL - 6, cite(f"{look}/moment/step", "count", plot=True), at="middle", kind="quiet"))
    parts.append(_text(6, TALL - 6, "step", kind="quiet"))
    return _svg(TALL, "The measure over training", parts, says="A mark for each look; the table below has the numbers.")


def _limit(cite: Citer, bound: str | None, down: Scale, left: float) -> list[Markup]:
    if bound is None:
        return []
    y = down(*_values(cite, [bound]))
    said = Markup("limit {}").format(cite(bound, plot=True))
    return [_line(left, y, WIDTH - RIGHT, y, "limit"), _text(WIDTH - RIGHT + 6, y + 4, said, kind="limit")]


def _path(places: Sequence[tuple[float, float]]) -> Markup:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup('<polyline points="{}" class="path"/>').format(joined)


def _dot(x: float, y: float, kind: str) -> Markup:
    """A circle lets a model through, a diamond does not."""
    if kind in ("plain", "pass", "warn"):
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" class="dot {}"/>').format(x, y, kind)
    corners = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
    return Markup('<polygon points="{}" class="dot {}"/>').format(corners, kind)


def columns(cite: Citer, found: Sequence[Column], least: str | None) -> Markup:
    """Distance of each column from where it was, those that drifted first, with the least that counts."""
    drawn = [one for one in found if one.distance is not None][:MOST_COLUMNS]
    values = _values(cite, [one.distance for one in drawn])
    across = Scale([0.0, *values, *_values(cite, [least])], LEFT, WIDTH - RIGHT)
    height = TOP + 16 + ROW * len(drawn) + 4
    parts = [_line(across(0), TOP + 14, across(0), height - 4, "axis")]
    for place, (one, value) in enumerate(zip(drawn, values, strict=True)):
        y = TOP + 16 + ROW * place + ROW / 2
        parts += [
            _text(LEFT - 10, y + 4, cite(one.name, "name", plot=True), at="end"),
            _bar(
                across(0), y, across(value) - across(0), one.word if one.word in ("drifted", "undecided") else "plain"
            ),
            _text(WIDTH - RIGHT + 10, y + 4, cite(one.distance or "", plot=True), kind="value"),
        ]
    if least is not None:
        x = across(*_values(cite, [least]))
        said = Markup("counts from {}").format(cite(least, plot=True))
        parts += [_line(x, TOP + 12, x, height - 4, "limit"), _text(x, TOP + 8, said, at="middle", kind="limit")]
    return _svg(height, "Drift by column", parts, says="A bar for each column; the table below has the numbers.")


def costs(cite: Citer, names: Sequence[str]) -> Markup:
    """Seconds by safeguard."""
    sources = [f"/record/costs/{key(name)}" for name in names]
    values = _values(cite, sources)
    across = Scale([0.0, *values], LEFT, WIDTH - RIGHT - 20)
    parts = []
    for place, (source, value) in enumerate(zip(sources, values, strict=True)):
        y = TOP + ROW * place + ROW / 2
        parts += [
            _text(LEFT - 10, y + 4, cite(("name", source), "name", plot=True), at="end"),
            _bar(across(0), y, across(value) - across(0), "plain"),
            _text(across(value) + 8, y + 4, cite(source, "duration", plot=True), kind="value"),
        ]
    return _svg(
        TOP + ROW * len(names) + 4, "Cost by safeguard", parts, says="A bar for each; the table has the numbers."
    )


def lines(cite: Citer, names: Sequence[str], marks: Sequence[Judged]) -> Markup:
    """Logged metrics over training, with an upright line where a verdict failed."""
    points = {name: cite.value(f"/curves/{key(name)}") for name in names[:MOST_CURVES]}
    steps = [float(point["step"]) for held in points.values() for point in held]
    values = [float(point["value"]) for held in points.values() for point in held]
    failed = [f"{one.pointer}/moment/step" for one in marks]
    across = Scale([*steps, *_values(cite, failed)], 60, WIDTH - LEFT)
    down = Scale(values, TALL - BOTTOM - 6, TOP + 16)
    parts = [_line(60, TALL - BOTTOM, WIDTH - LEFT, TALL - BOTTOM, "axis"), _text(6, TALL - 6, "step", kind="quiet")]
    for source in failed:
        x = across(*_values(cite, [source]))
        parts += [
            _line(x, TOP, x, TALL - BOTTOM, "fail"),
            _text(x, TALL - 6, cite(source, "count", plot=True), at="middle", kind="quiet"),
        ]
    for number, (name, held) in enumerate(points.items()):
        places = [(across(point["step"]), down(point["value"])) for point in held if math.isfinite(point["value"])]
        top = f"/curves/{key(name)}"
        said = Markup("{} {}").format(
            cite(("name", top), "name", plot=True), cite(f"{top}/{len(held) - 1}/value", plot=True)
        )
        parts += [
            Markup('<g class="line-{}">{}{}</g>').format(number, _path(places), _marks(places, number)),
            _text(places[-1][0] + 8, places[-1][1] + 4, said, kind="value"),
        ]
    return _svg(TALL, "Logged metrics over training", parts, says="The upright lines are failed verdicts.")


def _marks(places: Sequence[tuple[float, float]], number: int) -> Markup:
    """The last point of each line has a shape of its own."""
    x, y = places[-1]
    return _dot(x, y, "plain" if number % 2 == 0 else "other")
