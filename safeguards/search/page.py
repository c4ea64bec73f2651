"""The page of a sensitivity report: one file, no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from safeguards.search.drawing import BLUE, GREY, ORANGE, drawn, plain_axes, shown, shown_names
from safeguards.search.plots import draw_importance
from safeguards.search.sensitivity import Sensitivity
from safeguards.search.story import Tried

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_spread", "sensitivity_page"]

COLUMNS = 3
FOUND, SEEDS = "as found", "other seeds"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
body { font: 15px/1.5 sans-serif; color: #1a1a1a; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
h1, p, td, th { overflow-wrap: anywhere; }
img { max-width: 100%; }
.box { border-left: .4rem solid #0072B2; background: #f2f7fb; padding: .6rem 1rem; white-space: pre-line; }
.fragile { border-color: #D55E00; background: #fdf3ec; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
td, th { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; min-width: 5rem; }
.over { color: #A34700; font-weight: bold; }
"""


def sensitivity_page(one: Sensitivity, *, name: str, shares: Mapping[str, Mapping[str, float]]) -> str:
    """HTML of the study ``name``; ``shares`` are those of `safeguards.search.importance`, empty when not known."""
    parts = [
        f"<h1>Sensitivity of trial {one.found.number} of {html.escape(shown(name, 120))}</h1>",
        f'<p class="box{" fragile" if one.fragile else ""}">{html.escape(_said(one))}</p>',
        "<h2>How flat the optimum is</h2>",
        _flatness(one),
        _image(draw_spread(one), "each objective and violation: as found, with other seeds, with one value moved"),
        "<h2>What moves what</h2>",
        _importance(shares),
        "<h2>Every training</h2>",
        _table(one),
    ]
    head = (
        f'<meta charset="UTF-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>Sensitivity</title><style>{STYLE}</style>"
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def draw_spread(one: Sensitivity) -> bytes:
    """A panel per objective and violation, a row per training; the band is what seeds alone make of a difference."""
    names = [*one.objectives, *one.constraints]
    rows: list[tuple[str, list[Tried]]] = [(FOUND, [one.found]), (SEEDS, list(one.seeds.values()))]
    labels = shown_names(one.nudges, 40)
    rows += [(labels[nudge], [tried]) for nudge, tried in one.nudges.items()]
    across = min(len(names), COLUMNS)
    down = -(-len(names) // COLUMNS)

    def draw(figure: Figure) -> None:
        every = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
        for axes, name in zip(every, names, strict=False):
            _spread_panel(axes, one, name, [tried for _, tried in rows])
        every[0].set_ylim(len(rows) - 0.4, -0.6)
        every[0].set_yticks(range(len(rows)), [label for label, _ in rows])
        for axes in every[len(names) :]:
            axes.set_axis_off()

    return drawn(3.2 + 3.4 * across, down * (1.3 + 0.34 * len(rows)), draw)


def _spread_panel(axes: Axes, one: Sensitivity, name: str, rows: Sequence[Sequence[Tried]]) -> None:
    limited = name in one.constraints
    low, high = one.spread(name)
    if not limited or high < one.unmeasured:
        axes.axvspan(low, high, color=GREY, alpha=0.18, linewidth=0)
    missing = 0
    for row, tried in enumerate(rows):
        told = [number for number in (one.number(each, name) for each in tried) if number is not None]
        numbers = [number for number in told if not limited or number < one.unmeasured]
        missing += len(told) - len(numbers)
        for kept, marker, color in ((True, "o", BLUE), (False, "^", ORANGE)):
            at = [number for number in numbers if (not limited or number <= 0) is kept]
            axes.scatter(at, [row] * len(at), marker=marker, color=color, s=42, zorder=3)
    plain_axes(axes)
    if limited:
        axes.axvline(0.0, color=ORANGE, linewidth=1.0, linestyle="--")
    axes.set_title(shown(name, 32) + (f"\n{missing} not measured" if missing else ""))
    axes.set_xlabel("violation: kept at 0 or less" if limited else "")
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=4)


def _said(one: Sensitivity) -> str:
    return "\n".join(shown(line, 400) for line in one.text().splitlines())


def _flatness(one: Sensitivity) -> str:
    if not one.nudges:
        return "<p>No value could be moved.</p>"
    seeds = 1 + sum(bool(tried.values or tried.violations) for tried in one.seeds.values())
    legend = (
        f"The grey band holds all {seeds} seeds: the fewer there are, the less it says. "
        "Blue circles keep the limit, which is the dashed line at 0; orange triangles do not."
    )
    if not one.steep:
        return f"<p>Flat: no moved value makes more of a difference than another seed does. {legend}</p>"
    lines = [f"{shown(name)} with {', '.join(map(shown, nudges))}" for name, nudges in one.steep.items()]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<p>Moved further than by any other seed:</p><ul>{items}</ul><p>{legend}</p>"


def _importance(shares: Mapping[str, Mapping[str, float]]) -> str:
    if not shares:
        return "<p>Not known: it takes 10 trials that were trained to their end and differ.</p>"
    return _image(draw_importance(shares, title="share of the variation over the search's trials"), "importance")


def _image(png: bytes, says: str) -> str:
    return f'<img alt="{html.escape(says)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _table(one: Sensitivity) -> str:
    names = [*one.objectives, *one.constraints]
    head = "".join(f"<th>{html.escape(shown(name, 60))}</th>" for name in ("training", *names, "reason"))
    rows = {FOUND: one.found, **one.seeds, **one.nudges}
    body = "".join(f"<tr>{_cells(one, label, tried, names)}</tr>" for label, tried in rows.items())
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cells(one: Sensitivity, label: str, tried: Tried, names: Sequence[str]) -> str:
    told = "".join(_cell(one, name, one.number(tried, name)) for name in names)
    reason = "" if tried.state == "complete" else tried.reason or tried.state
    said = html.escape(shown(reason, 200)) if reason else ""
    return f"<td>{html.escape(shown(label, 80))}</td>{told}<td>{said}</td>"


def _cell(one: Sensitivity, name: str, number: float | None) -> str:
    if number is None:
        return "<td></td>"
    over = name in one.constraints and number > 0
    text = "not measured" if over and number >= one.unmeasured else f"{number:.4g}"
    return f'<td class="over">{text}</td>' if over else f"<td>{text}</td>"
