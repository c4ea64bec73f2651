"""Drawings over training: what was logged, with the moments at which a verdict failed; each measure look by look."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from safeguards.card.citing import Citer
from safeguards.card.content import Bounded, Judged, Moments
from safeguards.card.drawing import (
    BOTTOM,
    LEFT,
    LOW,
    RIGHT,
    TALL,
    TOP,
    WIDTH,
    Scale,
    apart,
    dot,
    limit,
    line,
    path,
    svg,
    text,
    values,
    whisker,
)
from safeguards.card.evidence import key

__all__ = ["families", "lines", "trail"]

MOST_CURVES = 4
NEAREST_LABELS = 46.0


def trail(cite: Citer, judged: Judged) -> Markup:
    """A measure over training: each look with its interval and outcome, and the limit."""
    looks = [look for look in judged.looks if _is_finite(cite, f"{look}/value")]
    held = [_bounded(cite, look) for look in looks]
    found = values(cite, [*(f"{look}/value" for look in looks), *(end for one in held for end in (one.low, one.high))])
    down = Scale([*found, *values(cite, [judged.bound])], TALL - BOTTOM - 6, TOP + 16)
    steps = values(cite, [f"{look}/moment/step" for look in looks])
    right = WIDTH - RIGHT - 45
    across = Scale(steps, LOW + 10, right - 60)
    places = [(across(step), down(*values(cite, [one.value]))) for step, one in zip(steps, held, strict=True)]
    parts = [line(LOW, TALL - BOTTOM, right, TALL - BOTTOM, "axis"), *limit(cite, judged.bound, down, right=right)]
    parts.append(path(places))
    for look, one, (x, y) in zip(looks, held, places, strict=True):
        parts += whisker(one, cite, down, x, lying=False)
        parts.append(dot(x, y, str(cite.value(f"{look}/outcome")).lower()))
    for place in {0, len(looks) - 1} if looks else ():
        (x, y), look = places[place], looks[place]
        parts.append(text(x + 8, y - 7, cite(f"{look}/value", plot=True), kind="value"))
        parts.append(text(x, TALL - 6, cite(f"{look}/moment/step", "count", plot=True), at="middle", kind="quiet"))
    parts.append(text(6, TALL - 6, "step", kind="quiet"))
    return svg(TALL, "The measure over training", parts, says="A mark for each look; the table below has the numbers.")


def _bounded(cite: Citer, look: str) -> Bounded:
    top = f"{look}/interval"
    ends = (f"{top}/0", f"{top}/1") if cite.value(top) else (None, None)
    return Bounded(value=f"{look}/value", low=ends[0], high=ends[1])


def _is_finite(cite: Citer, pointer: str) -> bool:
    value = cite.value(pointer)
    return isinstance(value, (int, float)) and math.isfinite(value)


def families(curves: Mapping[str, Sequence[object]]) -> list[list[str]]:
    """Losses in one drawing, what is no loss in another: they share no axis. One point is no curve."""
    names = [name for name, points in curves.items() if points]
    losses = [name for name in names if "loss" in name][:MOST_CURVES]
    others = [name for name in names if "loss" not in name][:MOST_CURVES]
    return [family for family in (losses, others) if any(len(curves[name]) > 1 for name in family)]


def lines(cite: Citer, names: Sequence[str], moments: Sequence[Moments]) -> Markup:
    """Logged metrics over training, with an upright line where a verdict failed."""
    held = {name: _finite(cite.value(f"/curves/{key(name)}")) for name in names}
    points = [point for found in held.values() for _, point in found]
    failed = values(cite, [f"{one.first}/moment/step" for one in moments])
    steps = [float(point["step"]) for point in points]
    right = WIDTH - LEFT
    across = Scale([*steps, *failed], LOW, right)
    down = Scale([float(point["value"]) for point in points], TALL - BOTTOM - 6, TOP + 16)
    parts = [line(LOW, TALL - BOTTOM, right, TALL - BOTTOM, "axis"), text(6, TALL - 6, "step", kind="quiet")]
    parts += _ends(cite, held, across)
    parts += _moments(cite, moments, [across(step) for step in failed])
    drawn = {name: [(across(p["step"]), down(p["value"])) for _, p in found] for name, found in held.items() if found}
    labels = apart([places[-1][1] for places in drawn.values()])
    for number, ((name, places), label) in enumerate(zip(drawn.items(), labels, strict=True)):
        top = f"/curves/{key(name)}"
        last = f"{top}/{held[name][-1][0]}/value"
        said = Markup("{} {}").format(cite(("name", top), "name", plot=True), cite(last, plot=True))
        parts += [
            Markup('<g class="line-{}">{}{}</g>').format(number, path(places), _end(places, number)),
            text(right + 12, label + 4, said, kind="value"),
        ]
    return svg(TALL, "Logged metrics over training", parts, says="The upright lines are failed verdicts.")


def _finite(points: Sequence[dict[str, float]]) -> list[tuple[int, dict[str, float]]]:
    """Each with its place in the evidence."""
    return [(place, point) for place, point in enumerate(points) if math.isfinite(point["value"])]


def _moments(cite: Citer, moments: Sequence[Moments], places: Sequence[float]) -> Iterator[Markup]:
    """Each has its line; its step is said where there is room, and in the table always."""
    last = -math.inf
    for one, x in zip(moments, places, strict=True):
        yield line(x, TOP, x, TALL - BOTTOM, "fail")
        if x - last >= NEAREST_LABELS:
            step = cite(f"{one.first}/moment/step", "count", plot=True)
            yield text(x + 4, TOP + 8, step, kind="quiet")
            last = x


def _ends(cite: Citer, held: Mapping[str, Sequence[tuple[int, dict[str, float]]]], across: Scale) -> Iterator[Markup]:
    """The first and the last step that a metric was logged at."""
    found = [(p["step"], f"/curves/{key(name)}/{place}/step") for name, points in held.items() for place, p in points]
    for step, source in sorted({min(found), max(found)}) if found else ():
        yield text(across(step), TALL - BOTTOM + 14, cite(source, "count", plot=True), at="middle", kind="quiet")


def _end(places: Sequence[tuple[float, float]], number: int) -> Markup:
    """The last point of each line has a shape of its own."""
    x, y = places[-1]
    return dot(x, y, "plain" if number % 2 == 0 else "other")
