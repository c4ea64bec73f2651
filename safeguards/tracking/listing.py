"""The runs of an experiment, kept in memory. They are read a page at a time beside the requests, so that the newest are
seen at once, and read again when somebody looks and they are no longer fresh.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from safeguards.tracking.reading import RunRow
from safeguards.tracking.store import said

__all__ = ["Listing", "RunList"]

AT_ONCE = 100
"""Runs per query: MLflow reads these, with all that hangs on them, in a quarter of a second."""

FRESH_SECONDS = 10.0
LONGEST_WAIT = 60.0


class Rows(Protocol):
    """What gives the pages; `RunReader` is one."""

    def rows(self, experiment_id: str, *, at_once: int) -> Iterator[list[RunRow]]: ...


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What is known of an experiment's runs, the newest first. Until it is ``complete``, older ones are being read.

    ``read_at`` is when the reading began, in seconds since 1970; ``problem`` says why the last one failed.
    """

    rows: tuple[RunRow, ...] = ()
    complete: bool = False
    read_at: float = 0.0
    problem: str = ""


class RunList:
    """The listings of all experiments that were asked for. Requests may come from several threads."""

    def __init__(self, reader: Rows, *, clock: Callable[[], float] = time.time) -> None:
        self._reader, self._clock = reader, clock
        self._known: dict[str, Listing] = {}
        self._reading: set[str] = set()
        self._news = threading.Condition()

    def of(self, experiment_id: str) -> Listing:
        """What is known now; the first time, once there is a first page. Starts a reading when that is not fresh."""
        with self._news:
            known = self._known.get(experiment_id)
            stale = known is None or self._clock() - known.read_at > FRESH_SECONDS
            if stale and experiment_id not in self._reading:
                self._reading.add(experiment_id)
                threading.Thread(target=self._read, args=(experiment_id,), daemon=True).start()
            self._news.wait_for(lambda: experiment_id in self._known, LONGEST_WAIT)
            return self._known.get(experiment_id, Listing(problem="the store has not answered yet"))

    def settled(self, experiment_id: str) -> Listing:
        """As `of`, once no reading of this experiment is under way."""
        self.of(experiment_id)
        with self._news:
            self._news.wait_for(lambda: experiment_id not in self._reading, LONGEST_WAIT)
            return self._known[experiment_id]

    def _read(self, experiment_id: str) -> None:
        """A first reading shows what it has as it goes; a later one replaces the whole once it has everything."""
        began, rows = self._clock(), list[RunRow]()
        problem = ""
        try:
            for page in self._reader.rows(experiment_id, at_once=AT_ONCE):
                rows += page
                if not self._is_known(experiment_id):
                    self._tell(experiment_id, Listing(rows=tuple(rows), read_at=began))
        except Exception as error:
            problem = said(error)
        with self._news:
            before = self._known.get(experiment_id, Listing())
            kept = before.rows if problem and len(before.rows) > len(rows) else tuple(rows)
            self._known[experiment_id] = Listing(rows=kept, complete=True, read_at=self._clock(), problem=problem)
            self._reading.discard(experiment_id)
            self._news.notify_all()

    def _is_known(self, experiment_id: str) -> bool:
        """Wholly: from then on a reading under way is not shown in part."""
        with self._news:
            known = self._known.get(experiment_id)
            return known is not None and known.complete

    def _tell(self, experiment_id: str, listing: Listing) -> None:
        with self._news:
            self._known[experiment_id] = listing
            self._news.notify_all()
