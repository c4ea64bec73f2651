"""Signs of life for whoever sits at a terminal: work of over a second says how far it is, and leaves no line behind."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

__all__ = ["progress"]

QUIET_SECONDS = 1.0
SECONDS_A_DRAWING = 0.1


@contextmanager
def progress(
    trainer: Trainer, what: str, total: int | None, *, after: float | None = None
) -> Iterator[Callable[[], None]]:
    """A bar; what it gives is called once for each of ``total`` pieces, None where nobody knows; of none it shows none.

    It is shown after ``after`` seconds, by default one, on the first process, at a terminal, where the trainer shows
    its own: among the lines of Lightning's Rich bar, else on standard error. No work fails for its bar: what cannot be
    written is left out.
    """
    bar = (
        _bar(trainer, what, total, QUIET_SECONDS if after is None else after)
        if total != 0 and _wanted(trainer)
        else None
    )

    def told() -> None:
        with suppress(Exception):
            if bar is not None:
                bar.update()

    try:
        yield told
    finally:
        with suppress(Exception):
            if bar is not None:
                bar.close()


def _wanted(trainer: Trainer) -> bool:
    own = getattr(trainer, "progress_bar_callback", None)
    shown = own is not None and getattr(own, "is_enabled", True)
    return bool(shown and trainer.is_global_zero and sys.stderr is not None and sys.stderr.isatty())


def _bar(trainer: Trainer, what: str, total: int | None, after: float) -> Any:
    from tqdm import tqdm

    title, lines = f"safeguards: {what}", getattr(trainer.progress_bar_callback, "progress", None)
    with suppress(Exception):
        if hasattr(lines, "add_task"):
            return _Line(lines, title, total, after)
        return tqdm(total=total, desc=title, leave=False, delay=after)
    return None


class _Line:
    """A line of a Rich display, which redraws whatever else is written to the terminal."""

    def __init__(self, lines: Any, title: str, total: int | None, after: float) -> None:
        self._lines, self._begin, self._drawn = lines, time.perf_counter() + after, 0.0
        self._task = lines.add_task(title, total=math.inf if total is None else total, visible=not after)
        self._draw()

    def update(self) -> None:
        """One piece is done."""
        self._lines.update(self._task, advance=1, visible=time.perf_counter() >= self._begin)
        self._draw()

    def _draw(self) -> None:
        if time.perf_counter() - self._drawn > SECONDS_A_DRAWING:
            self._lines.refresh()
            self._drawn = time.perf_counter()

    def close(self) -> None:
        """The line is gone."""
        self._lines.remove_task(self._task)
        self._lines.refresh()
