"""What a safeguard costs, and how a cap on its cost becomes a share of the rows before the work starts.

A look takes 1/64, 1/32, ... or all of the rows. What a look with each share cost last is known or, as twice the rows
cost at most twice as much, bounded. So a look is given the largest share whose cost fits into what the cap allows by
now. Where most of a cost does not depend on rows, small looks would spend it for little: a look is left out until the
largest share can be paid that is known to cost no more than `WORTH` times the smallest look.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safeguards.core.verdict import Cost

if TYPE_CHECKING:
    from safeguards.core.ranks import Ranks

__all__ = ["Meter", "rows_of_share", "said_left_out"]

SHARES = tuple(2.0**-halvings for halvings in range(6, -1, -1))
WORTH = 3
FEWEST_ROWS = 64
"""However small its share, a look at a set whose size is known has as many rows as this; a stream has no fewest."""


class Meter:
    """Seconds of one safeguard on this rank, and what its looks cost by the share of the rows that they took.

    ``cap`` is the share of the fit's time that it may take (None: no cap; outside a fit there is none). What the
    slowest rank spent, and how long the fit had run, up to the last verdict goes into the checkpoint: so the cap holds
    over a resume. ``left_out`` counts the looks that the cap has left out since the last one; ``pilot`` tells a look of
    which nobody knew what it would cost. ``uncapped_seconds`` of
    ``agreed_seconds`` are for work after training, which no cap can make smaller and which no look pays for.
    """

    def __init__(self, *, cap: float | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.cap = cap
        self._clock = clock
        self._share = 0.0
        self._taken = 1.0
        self._before = 0.0
        self.pilot = False
        self.begin_account()

    def state(self) -> dict[str, float]:
        """Plain values, the same on all ranks."""
        return {
            "seconds": self.agreed_seconds,
            "fit_seconds": self.fit_seconds,
            "uncapped_seconds": self.uncapped_seconds,
        }

    def resume(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave. Raises ``ValueError`` for what are no seconds."""
        seconds, fit_seconds = float(state["seconds"]), float(state["fit_seconds"])
        uncapped = float(state.get("uncapped_seconds", 0.0))
        if not all(0 <= each < math.inf for each in (seconds, fit_seconds, uncapped)):
            raise ValueError(f"{seconds}, {fit_seconds} and {uncapped} are no seconds")
        self.agreed_seconds, self.fit_seconds, self.uncapped_seconds = seconds, fit_seconds, uncapped
        self.begin_fit()

    def begin_account(self) -> None:
        """Another trainer's fit begins: nothing is spent yet, and what a look costs there is not known."""
        self.agreed_seconds = self.fit_seconds = self.uncapped_seconds = self._pending = 0.0
        self._known: dict[float, float] = {}
        self.begin_fit()

    def begin_fit(self) -> None:
        """What has run so far belongs to earlier fits, and counts on."""
        self._earlier = self.fit_seconds
        self.left_out = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time spent inside."""
        start = self._clock()
        try:
            yield
        finally:
            self._pending += self._clock() - start

    def begin_look(self, fit_seconds: float, ranks: Ranks) -> float:
        """All ranks: the share of the rows that the cap allows this look, the same on all; 0 leaves the look out."""
        self._share, self._taken, self._before, self.pilot = 0.0, 1.0, self.agreed_seconds, False
        if self.cap is None or (now := ranks.max(fit_seconds)) == 0:
            return 1.0
        elapsed, spent = (total - self.uncapped_seconds for total in (self._earlier + now, self.agreed_seconds))
        self._share = _affordable(self._known, self.cap * elapsed - spent)
        self.left_out += self._share == 0
        self.pilot = self._share > 0 and not self._known
        return self._share

    def take(self, share: float) -> None:
        """So many of some rows are taken in the look: it may be more than its share, for there is a fewest."""
        self._taken = min(self._taken, share)

    def end_look(self, ranks: Ranks) -> None:
        """All ranks, its verdicts settled: what a look with so many rows costs is known, and a larger costs no less."""
        self.left_out = 0
        if self._share:
            spent, taken = self.agreed_seconds - self._before, ranks.min(self._taken)
            known = {share: (min if share < self._share else max)(cost, spent) for share, cost in self._known.items()}
            self._known = known | {share: spent for share in SHARES if self._share <= share <= max(self._share, taken)}

    def settle_after_training(self, fit_seconds: float, ranks: Ranks) -> Cost:
        """All ranks: as `settle`, for work that no look pays for."""
        cost = self.settle(fit_seconds, ranks)
        self.uncapped_seconds += cost.seconds
        return cost

    def settle(self, fit_seconds: float, ranks: Ranks) -> Cost:
        """All ranks: close the account of one verdict; the seconds are those of the slowest rank."""
        seconds = ranks.max(self._pending)
        self._pending = 0.0
        self.agreed_seconds += seconds
        now = ranks.max(fit_seconds)
        if now == 0:
            return Cost(seconds=seconds)
        self.fit_seconds = self._earlier + now
        return Cost(seconds=seconds, share_of_fit=self.agreed_seconds / self.fit_seconds)


def rows_of_share(share: float, wanted: int) -> int:
    """How many of ``wanted`` rows a share of them is: at least 64, or all where there are fewer."""
    return min(wanted, max(FEWEST_ROWS, math.ceil(share * wanted)))


def said_left_out(looks: int, which: str) -> str:
    """In words; nothing where none was left out."""
    return f"max_share_of_fit left out {looks} look{'s' if looks > 1 else ''} {which}" if looks else ""


def _affordable(known: Mapping[float, float], allowed_seconds: float) -> float:
    """The share for which so many seconds are enough; the smallest where nothing is known yet; 0 for none."""
    if not known:
        return SHARES[0] if allowed_seconds > 0 else 0.0
    costs, cost = dict[float, float](), 0.0
    for share in SHARES:
        costs[share] = cost = known.get(share, 2 * cost)
    worth_its_wait = max(share for share in SHARES if costs[share] <= WORTH * costs[SHARES[0]])
    if allowed_seconds < costs[worth_its_wait]:
        return 0.0
    return max(share for share in SHARES if costs[share] <= allowed_seconds)
