"""How pictures look, and how they come out as bytes: no window, no state that is shared, nothing of a name acted on."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "drawn", "plain_axes", "shown", "shown_names", "wrapped"]

# Okabe and Ito's, which the colour-blind tell apart; each goes with a shape of its own.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"
DOTS_PER_INCH = 110
LONGEST = 44
# Names are the user's: neither TeX nor the formulas between two dollar signs may be read in them.
STYLE: dict[Any, Any] = {
    "text.usetex": False,
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.unicode_minus": False,
    "svg.fonttype": "path",
}


def shown(text: object, longest: int = LONGEST) -> str:
    """A name in one short line: without what cannot be printed, and without its middle where it is long."""
    letters = unicodedata.normalize("NFC", str(text))
    line = "".join(sign if sign.isprintable() else "\u00b7" for sign in letters if not unicodedata.combining(sign))
    if len(line) <= longest:
        return line or "\u00b7"
    head = longest // 3
    return f"{line[:head]}\u2026{line[len(line) - (longest - head - 1) :]}"


def wrapped(text: object, longest: int) -> str:
    """A name in one line or two, parted after a sign where it can be."""
    line = shown(text, 2 * longest)
    if len(line) <= longest:
        return line
    cut = max(line.rfind(sign, 0, longest) for sign in "/._ ") + 1
    cut = cut if len(line) - cut <= longest else longest
    return f"{line[:cut]}\n{line[cut:]}"


def shown_names(names: Iterable[str], longest: int = LONGEST) -> dict[str, str]:
    """What each name is shown as; those that come out alike are numbered."""
    found: dict[str, str] = {}
    for name in names:
        line, number = shown(name, longest), 1
        while line in found.values():
            number += 1
            line = f"{shown(name, longest - 4)} #{number}"
        found[name] = line
    return found


def drawn(width: float, height: float, draw: Callable[[Figure], None]) -> bytes:
    """A PNG of so many inches."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(out, format="png")
    return out.getvalue()


def plain_axes(axes: Axes) -> None:
    """Only the two lines that carry numbers, and a faint grid behind everything."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#E3E3E3", linewidth=0.8)
    axes.set_axisbelow(True)
