"""Drawings of a card. Every number in them is cited; the table below each has the same ones for who cannot see it.
Shapes carry the outcome as colours do.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from safeguards.card.citing import Citer
from safeguards.card.content import Bounded, Column
from safeguards.card.drawing import (
    BOTTOM,
    LEFT,
    RIGHT,
    ROW,
    TALL,
    TOP,
    WIDTH,
    Scale,
    bar,
    dot,
    limit,
    line,
    path,
    svg,
    text,
    values,
    whisker,
)
from safeguards.card.evidence import Source, key

__all__ = ["bars", "columns", "costs", "curve"]

MOST_BARS = 30
DRAWN = ("drifted", "undecided")


def bars(cite: Citer, title: str, rows: Sequence[tuple[Source, Bounded]]) -> Markup:
    """A rate from 0 to 1 by group, with the interval as a whisker over the bar; the first `MOST_BARS` groups."""
    across = Scale([0.0, 1.0], LEFT, WIDTH - RIGHT)
    rows = rows[:MOST_BARS]
    height = TOP + ROW * len(rows) + 6
    parts = [line(across(0), TOP, across(0), height - 4, "axis")]
    for place, (name, one) in enumerate(rows):
        y = TOP + ROW * place + ROW / 2
        (value,) = values(cite, [one.value])
        parts += [
            text(LEFT - 10, y + 4, cite(name, "label", plot=True), at="end"),
            bar(across(0), y, across(value) - across(0), "plain"),
            *whisker(one, cite, across, y, lying=True),
            text(WIDTH - RIGHT + 10, y + 4, cite(one.value, plot=True), kind="value"),
        ]
    return svg(height, title, parts, says="One bar for each group, with its interval; the table below has the numbers.")


def curve(cite: Citer, points: Sequence[tuple[str, Bounded]], clean: str | None, bound: str | None) -> Markup:
    """Robust accuracy over eps: the line, its intervals, the limit."""
    across = Scale([0.0, *values(cite, [eps for eps, _ in points])], 60, WIDTH - RIGHT - 60)
    down = Scale([0.0, 1.0], TALL - BOTTOM, TOP + 14)
    parts = [line(60, down(0), WIDTH - RIGHT, down(0), "axis"), *limit(cite, bound, down, right=WIDTH - RIGHT)]
    places: list[tuple[float, float]] = []
    if clean is not None:
        places.append((across(0), down(*values(cite, [clean]))))
        parts.append(text(across(0), places[0][1] - 9, cite(clean, plot=True), at="middle", kind="value"))
        parts.append(text(across(0), TALL - 6, "clean", at="middle", kind="quiet"))
    for eps, one in points:
        x, y = across(*values(cite, [eps])), down(*values(cite, [one.value]))
        places.append((x, y))
        parts += whisker(one, cite, down, x, lying=False)
        parts.append(text(x + 7, y - 7, cite(one.value, plot=True), kind="value"))
        parts.append(text(x, TALL - 6, cite(eps, plot=True), at="middle", kind="quiet"))
    parts += [path(places), *(dot(x, y, "plain") for x, y in places), text(6, TALL - 6, "eps", kind="quiet")]
    return svg(TALL, "Robust accuracy over eps", parts, says="A mark for each eps; the table below has the numbers.")


def columns(cite: Citer, found: Sequence[Column], least: str | None) -> Markup:
    """Distance of each column from where it was, those that drifted first, with the least that counts."""
    drawn = [one for one in found if one.distance is not None][:MOST_BARS]
    far = values(cite, [one.distance for one in drawn])
    across = Scale([0.0, *far, *values(cite, [least])], LEFT, WIDTH - RIGHT)
    height = TOP + 16 + ROW * len(drawn) + 4
    parts = [line(across(0), TOP + 14, across(0), height - 4, "axis")]
    for place, (one, value) in enumerate(zip(drawn, far, strict=True)):
        y = TOP + 16 + ROW * place + ROW / 2
        parts += [
            text(LEFT - 10, y + 4, cite(one.name, "label", plot=True), at="end"),
            bar(across(0), y, across(value) - across(0), one.word if one.word in DRAWN else "plain"),
            text(WIDTH - RIGHT + 10, y + 4, cite(one.distance or "", plot=True), kind="value"),
        ]
    if least is not None:
        x = across(*values(cite, [least]))
        said = Markup("counts from {}").format(cite(least, plot=True))
        parts += [line(x, TOP + 12, x, height - 4, "limit"), text(x, TOP + 8, said, at="middle", kind="limit")]
    return svg(height, "Drift by column", parts, says="A bar for each column; the table below has the numbers.")


def costs(cite: Citer, names: Sequence[str]) -> Markup:
    """Seconds by safeguard."""
    sources = [f"/record/costs/{key(name)}" for name in names]
    seconds = values(cite, sources)
    across = Scale([0.0, *seconds], LEFT, WIDTH - RIGHT - 20)
    parts = []
    for place, (source, value) in enumerate(zip(sources, seconds, strict=True)):
        y = TOP + ROW * place + ROW / 2
        parts += [
            text(LEFT - 10, y + 4, cite(("name", source), "label", plot=True), at="end"),
            bar(across(0), y, across(value) - across(0), "plain"),
            text(across(value) + 8, y + 4, cite(source, "duration", plot=True), kind="value"),
        ]
    return svg(
        TOP + ROW * len(names) + 4, "Cost by safeguard", parts, says="A bar for each; the table has the numbers."
    )
