"""The list of runs: the first page at once, the whole in time, and nothing lost when the store goes away."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from safeguards.tracking import Listing, RunList, RunRow


def row(name: str) -> RunRow:
    fixed = {
        "experiment_id": "1",
        "status": "FINISHED",
        "ended": "finished",
        "counts": "",
        "ledger": "",
        "tracking": "",
    }
    return RunRow(run_id=name, name=name, started=0.0, stopped=0.0, outcome=None, measures={}, **fixed)


class Store:
    """Three pages of a run each; the later ones wait until they may come."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.names = "abc"
        self.readings = 0
        self.broken = False

    def rows(self, experiment_id: str, *, at_once: int) -> Iterator[list[RunRow]]:
        self.readings += 1
        for place, name in enumerate(self.names):
            if place:
                assert self.free.wait(100)
            if self.broken:
                raise OSError("http://u:canary@host is away")
            yield [row(name)]


def names(listing: Listing) -> str:
    return "".join(one.name for one in listing.rows)


def test_the_first_page_is_there_while_the_others_are_read() -> None:
    store = Store()
    runs = RunList(store)
    first = runs.of("1")
    assert (names(first), first.complete) == ("a", False)
    store.free.set()
    last = runs.settled("1")
    assert (names(last), last.complete, last.problem) == ("abc", True, "")
    assert store.readings == 1


def test_it_is_read_again_when_it_is_no_longer_fresh_and_shown_whole_meanwhile() -> None:
    now, store = [0.0], Store()
    store.free.set()
    runs = RunList(store, clock=lambda: now[0])
    assert names(runs.settled("1")) == "abc"
    assert names(runs.settled("1")) == "abc"
    assert store.readings == 1
    store.free.clear()
    store.names, now[0] = "zabc", 11.0
    meanwhile = runs.of("1")
    assert (names(meanwhile), meanwhile.complete, meanwhile.read_at) == ("abc", True, 0.0)
    store.free.set()
    assert names(runs.settled("1")) == "zabc"
    assert store.readings == 2


def test_a_store_that_goes_away_costs_a_line_and_no_run() -> None:
    now, store = [0.0], Store()
    store.free.set()
    runs = RunList(store, clock=lambda: now[0])
    runs.settled("1")
    store.broken, now[0] = True, 11.0
    listing = runs.settled("1")
    assert names(listing) == "abc"
    assert "away" in listing.problem
    assert "canary" not in listing.problem


def test_experiments_do_not_wait_for_each_other() -> None:
    store = Store()
    runs = RunList(store)
    assert names(runs.of("1")) == names(runs.of("2")) == "a"
    store.free.set()
    assert names(runs.settled("1")) == names(runs.settled("2")) == "abc"
