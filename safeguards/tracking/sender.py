"""A thread that carries a spool to the store: whoever appends never waits for it."""

from __future__ import annotations

import threading
import time

from safeguards.tracking.breaker import Breaker
from safeguards.tracking.delivery import Delivery
from safeguards.tracking.store import is_refusal

__all__ = ["Sender"]

LINGER = 0.5
"""Seconds between two sendings, so that what is logged in between goes in one batch."""
IDLE = 30.0
"""Seconds after which a thread that has nothing to do ends; the next word starts another."""


class Sender:
    """Sends whenever `wake` said that there is something, and rests while the store is away.

    A daemon: it holds up neither the end of the process nor a fork, and a process that was forked makes its own.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._breaker = Breaker()
        self._bell = threading.Condition()
        self._wanted = self._tried = self._sent = 0
        self._urgent = False
        self._earliest = 0.0
        self._works = False
        self._greeted = threading.Event()
        self._greeting: Exception | None = None
        with self._bell:
            self._ring()

    def wake(self) -> None:
        """There is something to send."""
        with self._bell:
            self._wanted += 1
            self._ring()

    def _ring(self) -> None:
        self._bell.notify_all()
        if not self._works:
            self._works = True
            threading.Thread(target=self._work, name="safeguards-tracking", daemon=True).start()

    def greeted(self, seconds: float) -> bool:
        """Wait until the store was asked for the experiment; False when it has not answered by then.

        Raises what it answered with.
        """
        answered = self._greeted.wait(seconds)
        if answered and self._greeting is not None:
            raise self._greeting
        return answered

    @property
    def rests(self) -> bool:
        """Whether the store was away when it was last asked."""
        return self._breaker.is_open

    def drain(self, seconds: float) -> bool:
        """Send now, even to a store that rests; whether all has arrived after one attempt, or after ``seconds``."""
        with self._bell:
            self._wanted += 1
            aim, self._urgent = self._wanted, True
            self._ring()
            self._bell.wait_for(lambda: self._tried >= aim, timeout=seconds)
            return self._sent >= aim

    def _work(self) -> None:
        if not self._greeted.is_set():
            self._breaker.attempt("start", self._greet)
            self._greeted.set()
        while (aim := self._next()) is not None:
            done = self._breaker.attempt("sending", self._delivery.send, insist=True)
            with self._bell:
                self._tried, self._sent = aim, aim if done else self._sent
                self._earliest = time.monotonic() + max(LINGER, self._breaker.left)
                self._bell.notify_all()

    def _greet(self) -> None:
        try:
            self._delivery.connect()
        except Exception as error:
            self._greeting = error
            if not is_refusal(error):
                raise

    def _next(self) -> int | None:
        """Wait until there is something to send and it is time to: how much is wanted then. None after a long idle."""
        with self._bell:
            while not self._urgent:
                idle, now = self._wanted == self._sent, time.monotonic()
                if not idle and self._earliest <= now:
                    break
                if not self._bell.wait(IDLE if idle else self._earliest - now) and idle and self._wanted == self._sent:
                    self._works = False
                    return None
            self._urgent = False
            return self._wanted
