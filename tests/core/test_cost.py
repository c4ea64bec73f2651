"""Costs by a clock of the test's own."""

import pytest

from safeguards.core.cost import Meter
from safeguards.core.ranks import Ranks

ALONE = Ranks()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def spend(meter: Meter, clock: Clock, seconds: float) -> None:
    with meter.running():
        clock.now += seconds


def test_cost_is_the_time_inside_and_its_share() -> None:
    clock = Clock()
    meter = Meter(clock=clock)
    spend(meter, clock, 2.0)
    clock.now += 100
    cost = meter.settle(8.0, ALONE)
    assert (cost.seconds, cost.share_of_fit) == (2.0, 0.25)
    spend(meter, clock, 1.0)
    cost = meter.settle(12.0, ALONE)
    assert (cost.seconds, cost.share_of_fit) == (1.0, 0.25)


def test_outside_a_fit_there_is_neither_share_nor_cap() -> None:
    assert Meter(clock=Clock()).settle(0.0, ALONE).share_of_fit is None
    assert Meter(cap=0.001, clock=Clock()).rows_within(500, 0.0, ALONE) == 500


def test_share_and_cap_hold_over_a_resume() -> None:
    clock = Clock()
    first = Meter(cap=0.1, clock=clock)
    spend(first, clock, 10.0)
    first.settle(100.0, ALONE)
    second = Meter(cap=0.1, clock=clock)
    second.resume(first.state())
    assert second.rows_within(500, 50.0, ALONE) == 32
    spend(second, clock, 2.0)
    assert second.settle(50.0, ALONE).share_of_fit == 12 / 150
    assert second.state() == {"seconds": 12.0, "fit_seconds": 150.0}


def test_without_a_cap_all_rows_are_granted() -> None:
    assert Meter().rows_within(10**9, 0.0, ALONE) == 10**9


def test_cap_becomes_a_number_of_rows() -> None:
    clock = Clock()
    meter = Meter(cap=0.125, clock=clock)
    assert meter.rows_within(500, 10.0, ALONE) == 32
    spend(meter, clock, 0.5)
    meter.settle(10.0, ALONE)
    assert meter.rows_within(500, 10.0, ALONE) == 48
    assert meter.rows_within(20, 10.0, ALONE) == 20


def test_spent_budget_grants_nothing() -> None:
    clock = Clock()
    meter = Meter(cap=0.1, clock=clock)
    meter.rows_within(500, 10.0, ALONE)
    spend(meter, clock, 3.2)
    meter.settle(10.0, ALONE)
    assert meter.rows_within(500, 10.0, ALONE) == 0


@pytest.mark.parametrize("seconds", [0.01, 0.1, 1.0])
def test_cap_holds_over_many_looks(seconds: float) -> None:
    clock = Clock()
    meter = Meter(cap=0.05, clock=clock)
    for _ in range(40):
        clock.now += 10.0
        rows = meter.rows_within(1000, clock.now, ALONE)
        spend(meter, clock, rows * seconds / 32)
        cost = meter.settle(clock.now, ALONE)
    assert cost.share_of_fit is not None
    assert cost.share_of_fit <= 0.05 + seconds / clock.now
