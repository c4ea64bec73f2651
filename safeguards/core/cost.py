"""What a safeguard costs, and how a cap on its cost becomes a number of rows before the work starts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safeguards.core.verdict import Cost

if TYPE_CHECKING:
    from safeguards.core.ranks import Ranks

__all__ = ["Meter"]

PILOT_ROWS = 32


class Meter:
    """Seconds of one safeguard on this rank, and the rate at which it gets through rows.

    ``cap`` is the share of the fit's time that it may take (None: no cap; outside a fit there is none). What the
    slowest rank spent, and how long the fit had run, up to the last verdict goes into the checkpoint: so the cap holds
    over a resume.
    """

    def __init__(self, *, cap: float | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.cap = cap
        self.agreed_seconds = 0.0
        self.fit_seconds = 0.0
        self._earlier = 0.0
        self._clock = clock
        self._pending = 0.0
        self._granted = 0
        self._seconds_per_row: float | None = None

    def state(self) -> dict[str, float]:
        """Plain values, the same on all ranks."""
        return {"seconds": self.agreed_seconds, "fit_seconds": self.fit_seconds}

    def resume(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave. Raises ``ValueError`` for what are no seconds."""
        seconds, fit_seconds = float(state["seconds"]), float(state["fit_seconds"])
        if not (0 <= seconds < math.inf and 0 <= fit_seconds < math.inf):
            raise ValueError(f"{seconds} and {fit_seconds} are no seconds")
        self.agreed_seconds, self.fit_seconds = seconds, fit_seconds
        self.begin_fit()

    def begin_fit(self) -> None:
        """What has run so far belongs to earlier fits, and counts on."""
        self._earlier = self.fit_seconds

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
        if self.cap is None or ranks.max(fit_seconds) == 0:
            return wanted
        rate = ranks.max(-1.0 if self._seconds_per_row is None else self._seconds_per_row)
        spent = self.agreed_seconds + ranks.max(self._pending)
        allowed = self.cap * (self._earlier + ranks.max(fit_seconds)) - spent
        self._granted = _affordable(wanted, allowed, rate)
        return self._granted

    def settle(self, fit_seconds: float, ranks: Ranks) -> Cost:
        """All ranks: close the account of one verdict; the seconds are those of the slowest rank."""
        seconds = ranks.max(self._pending)
        if self._granted:
            self._seconds_per_row = seconds / self._granted
        self._pending, self._granted = 0.0, 0
        self.agreed_seconds += seconds
        now = ranks.max(fit_seconds)
        if now == 0:
            return Cost(seconds=seconds)
        self.fit_seconds = self._earlier + now
        return Cost(seconds=seconds, share_of_fit=self.agreed_seconds / self.fit_seconds)


def _affordable(wanted: int, allowed_seconds: float, seconds_per_row: float) -> int:
    if seconds_per_row < 0:
        return min(wanted, PILOT_ROWS)
    if seconds_per_row == 0:
        return wanted
    return max(0, min(wanted, math.floor(allowed_seconds / seconds_per_row)))
