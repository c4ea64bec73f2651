"""A store that failed is left alone for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from safeguards.tracking.store import quiet, said

__all__ = ["Breaker"]

log = logging.getLogger(__name__)

LONGEST_REST = 30.0
"""Seconds between two looks at a store that stays away."""


class Breaker:
    """Tries a piece of work with the store; after a failure it rests, twice as long each time, up to ``longest``."""

    def __init__(
        self, *, first: float = 1.0, longest: float = LONGEST_REST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first, self._longest, self._clock = first, longest, clock
        self._rest = 0.0
        self._until = 0.0

    @property
    def left(self) -> float:
        """Seconds of rest that are left; 0 when the store may be asked."""
        return max(0.0, self._until - self._clock())

    @property
    def is_open(self) -> bool:
        """Whether the last attempt failed."""
        return self._rest > 0

    def attempt(self, what: str, work: Callable[[], object], *, insist: bool = False) -> bool:
        """Do it; False when it failed, which costs one line in the log per outage, or when the store rests.

        ``insist`` asks a store that rests.
        """
        if self.left and not insist:
            return False
        try:
            with quiet():
                work()
        except Exception as error:
            if not self.is_open:
                log.warning("tracking failed, training goes on (%s: %s)", what, said(error))
            self._rest = min(self._longest, max(self._first, 2 * self._rest))
            self._until = self._clock() + self._rest
            return False
        self._rest = self._until = 0.0
        return True
