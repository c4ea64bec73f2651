"""The strokes of a card's drawings: SVG that prints and needs no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from safeguards.card.citing import Citer
from safeguards.card.content import Bounded
from safeguards.card.evidence import Source

__all__ = ["BOTTOM", "LEFT", "LOW", "RIGHT", "ROW", "TALL", "TOP", "WIDTH", "Scale", "apart", "bar", "dot", "limit"]
__all__ += ["line", "path", "svg", "text", "values", "whisker"]

WIDTH, LEFT, RIGHT = 640.0, 200.0, 70.0
ROW, TOP, BOTTOM = 26.0, 8.0, 22.0
TALL = 190.0
LOW = 60.0
LETTER = 15.0


class Scale:
    """From values to places. A span of nothing is widened, so that a single value has a place."""

    def __init__(self, found: Sequence[float], low: float, high: float) -> None:
        held = [value for value in found if math.isfinite(value)] or [0.0]
        self.least, most = min(held), max(held)
        self.span = (most - self.least) or abs(most) or 1.0
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        """Values outside lie on the edge."""
        share = (value - self.least) / self.span
        return self.low + min(1.0, max(0.0, share)) * (self.high - self.low)


def values(cite: Citer, sources: Iterable[Source | None]) -> list[float]:
    """Of those that are there; words such as "nan" are read as the numbers that they stand for."""
    return [float(cite.value(source)) for source in sources if source is not None]


def svg(height: float, title: str, parts: Sequence[Markup], *, says: str) -> Markup:
    """``title`` and ``says`` hold no number: nothing in them could be followed to its evidence."""
    return Markup(
        '<svg class="plot" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{title}. {says}">{parts}</svg>'
    ).format(width=WIDTH, height=height, title=title, says=says, parts=Markup("\n").join(parts))


def text(x: float, y: float, said: object, *, at: str = "start", kind: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(x, y, at, kind, said)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, kind)


def bar(x: float, y: float, width: float, kind: str) -> Markup:
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="12" rx="2" class="bar {}"/>').format(
        x, y - 6, max(width, 1.0), kind
    )


def whisker(one: Bounded, cite: Citer, scale: Scale, at: float, *, lying: bool) -> list[Markup]:
    """The interval, as a line with ends; nothing where there is none."""
    ends = values(cite, [one.low, one.high])
    if len(ends) != 2:
        return []
    low, high = scale(ends[0]), scale(ends[1])
    strokes = [(low, 0.0, high, 0.0), (low, -4.0, low, 4.0), (high, -4.0, high, 4.0)]
    if lying:
        return [line(a, at + b, c, at + d, "whisker") for a, b, c, d in strokes]
    return [line(at + b, a, at + d, c, "whisker") for a, b, c, d in strokes]


def limit(cite: Citer, bound: str | None, down: Scale, *, right: float) -> list[Markup]:
    """The line that must not be crossed, with its number at its right end."""
    if bound is None:
        return []
    y = down(*values(cite, [bound]))
    said = Markup("limit {}").format(cite(bound, plot=True))
    return [line(LOW, y, right, y, "limit"), text(right + 4, y + 4, said, kind="limit")]


def path(places: Sequence[tuple[float, float]]) -> Markup:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup('<polyline points="{}" class="path"/>').format(joined)


def dot(x: float, y: float, kind: str) -> Markup:
    """A circle lets a model through, a diamond does not."""
    if kind in ("plain", "pass", "warn"):
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" class="dot {}"/>').format(x, y, kind)
    corners = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
    return Markup('<polygon points="{}" class="dot {}"/>').format(corners, kind)


def apart(wanted: Sequence[float]) -> list[float]:
    """Heights of labels near those wanted, a line of letters from each other."""
    made = [0.0] * len(wanted)
    lowest = -math.inf
    for place in sorted(range(len(wanted)), key=lambda place: wanted[place]):
        lowest = made[place] = max(wanted[place], lowest + LETTER)
    over = max(0.0, lowest - (TALL - BOTTOM)) if made else 0.0
    return [place - over for place in made]
