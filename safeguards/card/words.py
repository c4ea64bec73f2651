"""How values are put into words on a page. Escaping is the template's work; this is what a reader sees."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["day", "duration", "interval", "number", "shown", "signed", "size", "tree", "when"]

LONGEST = 120
MINUS = "\u2212"
ELLIPSIS = "\u2026"


def shown(text: object, longest: int = LONGEST) -> str:
    """A text from outside in one line: signs that print nothing, or turn the reading direction, are written out; what
    is longer than ``longest`` is cut, and says how long it was.
    """
    whole = str(text)
    line = "".join(sign if sign.isprintable() else _written_out(sign) for sign in whole[: longest + 1])
    if len(whole) <= longest:
        return line
    return f"{line[:longest]}{ELLIPSIS} [{len(whole):,} characters]"


def _written_out(sign: str) -> str:
    return " " if sign in "\n\t" else repr(sign)[1:-1]


def number(value: float | None, digits: int = 4) -> str:
    """``value`` to so many significant digits; a dash where there is none."""
    if value is None:
        return "\u2013"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return shown(value)
    if isinstance(value, int) or not math.isfinite(value):
        return f"{value:,}".replace("-", MINUS)
    return f"{value:.{digits}g}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """A margin: the sign always, three digits."""
    return "" if value is None else f"{value:+.3g}".replace("-", MINUS)


def interval(ends: Sequence[float] | None) -> str:
    """Both ends, in brackets; a dash where there is none."""
    return "\u2013" if ends is None else f"[{number(ends[0], 3)}, {number(ends[1], 3)}]"


def when(seconds: float | None) -> str:
    """A time in UTC, to the minute."""
    return "" if seconds is None else _moment(seconds, "%Y-%m-%d %H:%M")


def day(seconds: float | None) -> str:
    """The date in UTC."""
    return "" if seconds is None else _moment(seconds, "%Y-%m-%d")


def _moment(seconds: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return "no date"


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "\u2013"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: int | None) -> str:
    """Bytes as people say them."""
    if count is None:
        return ""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def tree(value: Any, depth: int = 4) -> Any:
    """Details of a verdict as nested pairs and lines that a template can walk: mappings, lists and texts only."""
    if isinstance(value, Mapping) and depth:
        return {shown(key, 80): tree(item, depth - 1) for key, item in list(value.items())[:200]}
    if isinstance(value, (list, tuple)) and depth:
        return [tree(item, depth - 1) for item in list(value)[:200]]
    return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else shown(value, 400)
