"""Verdicts as a table for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from safeguards.core.verdict import Outcome, Verdict

__all__ = ["SEVERITY", "latest", "overall", "table"]

WIDTH = 118
WIDEST_CELL = 80
HEADINGS = ("safeguard", "measure", "outcome", "value", "interval", "limit", "n", "cost")
SEVERITY = (Outcome.ERROR, Outcome.FAIL, Outcome.NOT_EVALUATED, Outcome.INCONCLUSIVE, Outcome.WARN, Outcome.PASS)


def latest(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The last verdict of each safeguard, measure, stage and loader, in the order of first appearance.

    A NOT_EVALUATED is over once the same measure has been judged after it.
    """
    last: dict[tuple[str, str, str, str | None], Verdict] = {}
    silent: dict[tuple[str, str], list[tuple[str, str, str, str | None]]] = {}
    for verdict in verdicts:
        key = (verdict.safeguard, verdict.measure, verdict.moment.stage, verdict.moment.loader)
        if verdict.outcome is Outcome.NOT_EVALUATED:
            silent.setdefault(key[:2], []).append(key)
        else:
            for over in silent.pop(key[:2], ()):
                last.pop(over, None)
        last[key] = verdict
    return list(last.values())


def overall(verdicts: Sequence[Verdict]) -> Outcome:
    """The gravest outcome of the latest verdicts; NOT_EVALUATED when there is none."""
    outcomes = {verdict.outcome for verdict in latest(verdicts)}
    return next((outcome for outcome in SEVERITY if outcome in outcomes), Outcome.NOT_EVALUATED)


def table(verdicts: Sequence[Verdict]) -> str:
    """The latest verdicts, a row each, with the reason below. Control characters of names are shown, not sent."""
    rows = [(_cells(verdict), _printable(verdict.reason)) for verdict in latest(verdicts)]
    widths = [max(len(row[i]) for row in [HEADINGS, *(cells for cells, _ in rows)]) for i in range(len(HEADINGS))]
    lines = [_line(HEADINGS, widths), "  ".join("-" * width for width in widths)]
    for cells, reason in rows:
        lines += [_line(cells, widths), *textwrap.wrap(reason, WIDTH, initial_indent="    ", subsequent_indent="    ")]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cells(verdict: Verdict) -> tuple[str, ...]:
    where = f" [{verdict.moment.loader}]" if verdict.moment.loader else ""
    return (
        _cut(_printable(verdict.safeguard)),
        _cut(_printable(verdict.measure + where)),
        str(verdict.outcome),
        _number(verdict.value),
        "-" if verdict.interval is None else f"[{verdict.interval[0]:.3g}, {verdict.interval[1]:.3g}]",
        "-" if verdict.limit is None else str(verdict.limit),
        f"{verdict.n}",
        _cost(verdict),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _cost(verdict: Verdict) -> str:
    if verdict.cost is None:
        return "-"
    share = verdict.cost.share_of_fit
    return f"{verdict.cost.seconds:.2f} s" + ("" if share is None else f", {share:.1%} of fit")


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 3]}..."


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
