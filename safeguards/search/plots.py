"""Pictures of a study, as PNG: how it went, what objectives and limits trade, which parameter moves what.

Feasible trials are blue circles and infeasible ones orange triangles, everywhere. Pure: a `Story` in, bytes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from safeguards.search.drawing import BLUE, GREEN, GREY, ORANGE, drawn, plain_axes, shown, shown_names, wrapped
from safeguards.search.result import Candidate, Direction
from safeguards.search.story import Story, Tried

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_front", "draw_history", "draw_importance", "draw_limits"]

COLUMNS = 3
FEASIBLE: dict[str, Any] = {"marker": "o", "s": 46, "color": BLUE, "edgecolors": "white", "linewidths": 0.7}
INFEASIBLE: dict[str, Any] = {"marker": "^", "s": 46, "facecolors": "none", "edgecolors": ORANGE, "linewidths": 1.5}
CHOSEN: dict[str, Any] = {"s": 190, "facecolors": "none", "linewidths": 1.8, "zorder": 4}
ENDED = {"pruned": ("|", GREY), "failed": ("x", ORANGE)}
DARK = 0.55
Number = Callable[[Tried], float]


def draw_history(story: Story) -> bytes:
    """Each objective over the trials with the best feasible value so far; pruned and failed trials in a strip below."""
    names = list(story.objectives)
    last = max((one.number for one in story.tried), default=0)

    def draw(figure: Figure) -> None:
        rows = figure.subplots(len(names) + 1, 1, sharex=True, height_ratios=[*[4] * len(names), 1], squeeze=False)
        *panels, strip = rows[:, 0]
        for axes, name in zip(panels, names, strict=True):
            _points(axes, story.complete, _number, _value(name))
            _best_so_far(axes, story, name, last)
            axes.set_ylabel(wrapped(name, 28))
        _strip(strip, story)
        strip.set_xlim(-0.7, max(last, 1) + 0.7)
        _finish(figure, panels, story)

    return drawn(8.0, 1.9 + 2.6 * len(names), draw)


def draw_front(story: Story) -> bytes:
    """The first objective against each other one, with the front of the feasible trials and that of all.

    Raises ``ValueError`` for a study of one objective, which has no front.
    """
    first, *others = story.objectives
    if not others:
        raise ValueError("a front needs two objectives")
    fronts: list[tuple[str, list[Candidate], dict[str, Any]]] = [
        ("Pareto front without limits", story.result.best_of_all, {"color": "black", "linestyle": ":"}),
        ("Pareto front, feasible", story.result.best, {"color": BLUE}),
    ]

    def draw(figure: Figure) -> None:
        panels = _grid(figure, len(others))
        for place, (axes, other) in enumerate(zip(panels, others, strict=True), 1):
            _points(axes, story.complete, _value(other), _value(first))
            for label, front, look in fronts:
                spots = sorted((one.values[place], one.values[0]) for one in front)
                axes.plot(*_columns(spots), label=label, zorder=1, linewidth=1.4, **look)
            axes.set_xlabel(f"{wrapped(other, 40)} ({story.objectives[other]})")
            axes.set_ylabel(f"{wrapped(first, 30)} ({story.objectives[first]})")
        _finish(figure, panels, story)

    return drawn(*_size(len(others)), draw)


def draw_limits(story: Story) -> bytes:
    """The first objective against the violation of each constraint, with the Pareto front of both: what a limit costs.

    With one objective the best feasible trial, and the one that a search without limits would have chosen, are marked
    in each panel. Raises ``ValueError`` for a study without constraints.
    """
    if not story.constraints:
        raise ValueError("there is no constraint to draw")
    name = next(iter(story.objectives))

    def draw(figure: Figure) -> None:
        panels = _grid(figure, len(story.constraints))
        for axes, constraint in zip(panels, story.constraints, strict=True):
            measured = [one for one in story.complete if one.violations[constraint] < story.unmeasured]
            _points(axes, measured, _violation(constraint), _value(name))
            _front_of(axes, measured, constraint, _value(name), story.objectives[name])
            if len(story.objectives) == 1:
                _mark_chosen(axes, story, constraint)
            _shade_refused(axes)
            missing = len(story.complete) - len(measured)
            axes.set_title(shown(constraint, 40) + (f"\n{missing} not measured" if missing else ""))
            axes.set_xlabel("violation: kept at 0 or less")
            axes.set_ylabel(wrapped(name, 34))
        _finish(figure, panels, story)

    return drawn(*_size(len(story.constraints)), draw)


def draw_importance(shares: Mapping[str, Mapping[str, float]], *, title: str) -> bytes:
    """A table of shares: a row per parameter, a column per objective and constraint, each of which adds up to 1."""
    totals = {key: sum(column.get(key, 0.0) for column in shares.values()) for one in shares.values() for key in one}
    parameters = sorted(totals, key=lambda key: -totals[key])
    rows, columns = shown_names(parameters), shown_names(shares, 40)
    table = [[shares[target].get(key, 0.0) for target in shares] for key in parameters]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, across in enumerate(table):
            for column, share in enumerate(across):
                color = "white" if share > DARK else "black"
                axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=color)
        axes.set_yticks(range(len(rows)), list(rows.values()))
        axes.set_xticks(range(len(columns)), list(columns.values()), rotation=30, ha="right", rotation_mode="anchor")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.suptitle(shown(title, 90))

    return drawn(4.6 + 1.25 * len(columns), 2.9 + 0.42 * len(rows), draw)


def _number(one: Tried) -> float:
    return one.number


def _value(name: str) -> Number:
    return lambda one: one.values[name]


def _violation(name: str) -> Number:
    return lambda one: one.violations[name]


def _points(axes: Axes, tried: Iterable[Tried], x: Number, y: Number) -> None:
    every = list(tried)
    for label, look, feasible in (("feasible", FEASIBLE, True), ("infeasible", INFEASIBLE, False)):
        group = [one for one in every if one.feasible is feasible]
        axes.scatter([x(one) for one in group], [y(one) for one in group], label=label, zorder=3, **look)
    plain_axes(axes)
    if not every:
        axes.text(0.5, 0.6, "no trial to show yet", transform=axes.transAxes, ha="center", color=GREY)


def _best_so_far(axes: Axes, story: Story, name: str, last: int) -> None:
    feasible = [one for one in story.complete if one.feasible]
    better = max if story.objectives[name] == "maximize" else min
    best = list(accumulate((one.values[name] for one in feasible), better))
    at = [one.number for one in feasible]
    if best:
        axes.step([*at, last], [*best, best[-1]], where="post", color=BLUE, label="best feasible so far")


def _strip(axes: Axes, story: Story) -> None:
    for row, (state, (marker, color)) in enumerate(ENDED.items()):
        at = [one.number for one in story.tried if one.state == state]
        axes.scatter(at, [row] * len(at), marker=marker, color=color, s=50)
    axes.set_yticks(range(len(ENDED)), list(ENDED))
    axes.set_ylim(-0.7, len(ENDED) - 0.3)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("trial")
    plain_axes(axes)


def _mark_chosen(axes: Axes, story: Story, constraint: str) -> None:
    chosen = (
        ("best feasible", "*", GREEN, story.result.best),
        ("best without limits", "D", "black", story.result.best_of_all),
    )
    for label, marker, color, found in chosen:
        spots = [(one.violations[constraint], one.values[0]) for one in found]
        measured = [spot for spot in spots if spot[0] < story.unmeasured]
        axes.scatter(*_columns(measured), label=label, marker=marker, edgecolors=color, **CHOSEN)


def _front_of(axes: Axes, measured: Sequence[Tried], constraint: str, value: Number, direction: Direction) -> None:
    """The best value that was reached at a violation or less."""
    better = max if direction == "maximize" else min
    spots = sorted((one.violations[constraint], value(one)) for one in measured)
    best = list(accumulate((reached for _, reached in spots), better))
    at = [violation for violation, _ in spots]
    axes.step(at, best, where="post", color="black", linestyle=":", linewidth=1.2, zorder=1, label="Pareto front")


def _shade_refused(axes: Axes) -> None:
    """Everything to the right of 0, which is always in sight."""
    axes.axvline(0.0, color=ORANGE, linewidth=1.0, linestyle="--")
    axes.margins(0.08)
    left, right = axes.get_xlim()
    axes.axvspan(0.0, right, color=ORANGE, alpha=0.07, linewidth=0)
    axes.set_xlim(left, right)
    axes.locator_params(axis="x", nbins=5)


def _grid(figure: Figure, panels: int) -> list[Axes]:
    rows = -(-panels // COLUMNS)
    every = list(figure.subplots(rows, min(panels, COLUMNS), squeeze=False).flat)
    for axes in every[panels:]:
        axes.set_axis_off()
    return every[:panels]


def _size(panels: int) -> tuple[float, float]:
    width = 6.4 if panels == 1 else 4.4 * min(panels, COLUMNS)
    return width, 1.0 + 3.7 * -(-panels // COLUMNS)


def _finish(figure: Figure, panels: Sequence[Axes], story: Story) -> None:
    """One legend for all, below, where it hides nothing."""
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels) if len(labels) < 4 else -(-len(labels) // 2),
        frameon=False,
    )
    counted = [one for one in story.tried if one.state != "lost"]
    ended = f"{len(counted)} trial{'s' if len(counted) != 1 else ''}"
    figure.suptitle(f"{shown(story.name)}: {ended}, {sum(one.feasible for one in counted)} feasible")


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
