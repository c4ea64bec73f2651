"""What a safeguard costs, and how a cap on its cost becomes a number of rows before the work starts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safeguards.core.verdict import Cost

if TYPE_CHECKING:
    from safeguards.core.ranks import Ranks

__all__ = ["Meter"]

PILOT_ROWS = 32


class Meter:
    """Seconds of one safeguard on this rank, and the rate at which it gets through rows.

    ``cap`` is the share of the fit's time that it may take (None: no cap). ``agreed_seconds`` is what the slowest rank
    spent up to the last verdict: it goes into the checkpoint, so that the cap holds over a resume.
    """

    def __init__(self, *, cap: float | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.cap = cap
        self.agreed_seconds = 0.0
        self._clock = clock
        self._pending = 0.0
        self._granted = 0
        self._seconds_per_row: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time spent inside."""
        start = self._clock()
        try:
            yield
        finally:
            self._pending += self._clock() - start

    def rows_within(self, wanted: int, fit_seconds: float, ranks: Ranks) -> int:
        """All ranks: how many of ``wanted`` rows the cap allows now; the same number on all of them.

        Before a first measurement of its own rate a capped safeguard gets a pilot of at most 32 rows.
        """
        if self.cap is None:
            return wanted
        rate = ranks.max(-1.0 if self._seconds_per_row is None else self._seconds_per_row)
        spent = self.agreed_seconds + ranks.max(self._pending)
        allowed = self.cap * ranks.max(fit_seconds) - spent
        self._granted = _affordable(wanted, allowed, rate)
        return self._granted

    def settle(self, fit_seconds: float, ranks: Ranks) -> Cost:
        """All ranks: close the account of one verdict; the seconds are those of the slowest rank."""
        seconds = ranks.max(self._pending)
        if self._granted:
            self._seconds_per_row = seconds / self._granted
        self._pending, self._granted = 0.0, 0
        self.agreed_seconds += seconds
        total = ranks.max(fit_seconds)
        return Cost(seconds=seconds, share_of_fit=self.agreed_seconds / total if total > 0 else None)


def _affordable(wanted: int, allowed_seconds: float, seconds_per_row: float) -> int:
    if seconds_per_row < 0:
        return min(wanted, PILOT_ROWS)
    if seconds_per_row == 0:
        return wanted
    return max(0, min(wanted, math.floor(allowed_seconds / seconds_per_row)))
