"""Costs by a clock of the test's own."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.cost import Meter, rows_of_share
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


def look(meter: Meter, clock: Clock, cost: Callable[[float], float], fit_seconds: float | None = None) -> float:
    """One look that costs so many seconds at its share; gives the share, 0 where it is left out."""
    share = meter.begin_look(clock.now if fit_seconds is None else fit_seconds, ALONE)
    if share:
        spend(meter, clock, cost(share))
        meter.settle(clock.now if fit_seconds is None else fit_seconds, ALONE)
        meter.take(share)
        meter.end_look(ALONE)
    return share


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
    assert Meter(cap=0.001, clock=Clock()).begin_look(0.0, ALONE) == 1


def test_share_and_cap_hold_over_a_resume() -> None:
    clock = Clock()
    first = Meter(cap=0.1, clock=clock)
    spend(first, clock, 10.0)
    first.settle(100.0, ALONE)
    second = Meter(cap=0.1, clock=clock)
    second.resume(first.state())
    assert second.begin_look(0.0, ALONE) == 1
    assert second.begin_look(50.0, ALONE) == 1 / 64
    spend(second, clock, 2.0)
    assert second.settle(50.0, ALONE).share_of_fit == 12 / 150
    assert second.state() == {"seconds": 12.0, "fit_seconds": 150.0, "uncapped_seconds": 0.0}


def test_a_resume_grants_nothing_for_what_is_not_paid_off() -> None:
    meter = Meter(cap=0.1, clock=Clock())
    meter.resume({"seconds": 20.0, "fit_seconds": 100.0})
    assert [meter.begin_look(now, ALONE) for now in (1.0, 100.0, 101.0)] == [0, 0, 1 / 64]


def test_no_look_pays_for_work_after_training_over_a_resume() -> None:
    clock = Clock()
    meter = Meter(cap=0.1, clock=clock)
    look(meter, clock, lambda _: 4.0, 50.0)
    spend(meter, clock, 90.0)
    cost = meter.settle_after_training(140.0, ALONE)
    assert (cost.seconds, cost.share_of_fit) == (90.0, 94 / 140), "it is told, and so is its share"
    meter.begin_fit()
    again = Meter(cap=0.1, clock=clock)
    again.resume(meter.state())
    assert meter.state() == again.state() == {"seconds": 94.0, "fit_seconds": 140.0, "uncapped_seconds": 90.0}
    assert look(meter, clock, lambda _: 4.0, 69.0) == 0, "of 50 s and 69 s, 7.9 s are left"
    assert look(meter, clock, lambda _: 4.0, 71.0) == 1 / 32
    assert look(again, clock, lambda _: 4.0, 20.0) == 1 / 64
    again.resume({"seconds": 94.0, "fit_seconds": 140.0})
    assert look(again, clock, lambda _: 4.0, 71.0) == 0, "a checkpoint that does not tell them apart"


def test_without_a_cap_all_rows_are_granted() -> None:
    assert Meter().begin_look(100.0, ALONE) == 1


@pytest.mark.parametrize(
    ("share", "wanted", "rows"), [(1, 9, 9), (1 / 4, 512, 128), (1 / 64, 512, 64), (1 / 64, 8001, 126), (1 / 2, 57, 57)]
)
def test_a_share_is_a_number_of_rows(share: float, wanted: int, rows: int) -> None:
    assert rows_of_share(share, wanted) == rows


def test_what_costs_by_the_row_takes_as_many_as_are_paid() -> None:
    clock = Clock()
    meter = Meter(cap=0.25, clock=clock)
    assert look(meter, clock, lambda share: 64 * share, 10.0) == 1 / 64
    assert look(meter, clock, lambda share: 64 * share, 20.0) == 1 / 16, "of 4 s, for which more than 1/32 is known"
    assert look(meter, clock, lambda share: 64 * share, 22.0) == 0, "half a second is left"
    assert look(meter, clock, lambda share: 64 * share, 160.0) == 1 / 2
    assert meter.left_out == 0


def test_what_costs_the_same_for_few_rows_waits_for_many() -> None:
    """Each look costs 10 s and at most 5 s more: one in ten is made at a cap of 0.1, in the end with all rows."""
    clock = Clock()
    meter = Meter(cap=0.1, clock=clock)
    shares = []
    for _ in range(200):
        clock.now += 10.0
        shares.append(look(meter, clock, lambda share: 10 + 5 * share))
    made = [share for share in shares if share]
    assert made[:7] == [1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    assert made[-3:] == [1, 1, 1]
    assert meter.agreed_seconds <= 0.1 * clock.now


def test_a_dear_first_look_is_forgotten_once_a_larger_one_cost_less() -> None:
    clock = Clock()
    meter = Meter(cap=0.5, clock=clock)
    look(meter, clock, lambda _: 100.0, 100.0)
    assert look(meter, clock, lambda _: 100.0, 590.0) == 0, "195 s are left, 200 s are the most that it may cost"
    assert look(meter, clock, lambda share: 64 * share, 600.0) == 1 / 32
    assert look(meter, clock, lambda share: 64 * share, 212.0) == 1 / 16, "4 s are left"


def test_looks_left_out_are_counted_until_one_is_made() -> None:
    clock = Clock()
    meter = Meter(cap=0.1, clock=clock)
    look(meter, clock, lambda _: 3.0, 10.0)
    assert [look(meter, clock, lambda _: 3.0, now) for now in (20.0, 30.0)] == [0, 0]
    assert meter.left_out == 2
    assert meter.begin_look(90.0, ALONE) == 1 / 32
    assert meter.left_out == 2, "its verdict says so"
    meter.end_look(ALONE)
    assert meter.left_out == 0


def test_shares_that_give_the_same_fewest_rows_cost_the_same() -> None:
    clock = Clock()
    meter = Meter(cap=0.5, clock=clock)
    assert meter.begin_look(10.0, ALONE) == 1 / 64
    spend(meter, clock, 1.0)
    meter.settle(10.0, ALONE)
    meter.take(1 / 4)
    meter.take(1 / 8)
    meter.end_look(ALONE)
    assert meter.begin_look(6.0, ALONE) == 1 / 4, "of 2 s: 1/8 costs 1 s too"


@given(
    fixed=st.floats(0, 20),
    slope=st.floats(0, 200),
    floor=st.sampled_from([0, 1 / 64, 1 / 8, 1]),
    warm_up=st.floats(0, 20),
    cap=st.sampled_from([0.01, 0.05, 0.3]),
)
def test_the_cap_holds_and_looks_go_on(fixed: float, slope: float, floor: float, warm_up: float, cap: float) -> None:
    clock = Clock()
    meter = Meter(cap=cap, clock=clock)
    made, paid = 0, 0.0
    smallest = fixed + slope * max(floor, 1 / 64)
    while made < 10:
        extra = 0.0 if made else warm_up
        clock.now += max(1.0, smallest / 2)
        allowed = cap * clock.now - meter.agreed_seconds
        paid = meter.agreed_seconds
        if look(meter, clock, lambda share, extra=extra: fixed + slope * max(floor, share) + extra):
            made += 1
            assert made == 1 or meter.agreed_seconds - paid <= allowed + 1e-9
        assert made == 1 or meter.agreed_seconds <= cap * clock.now + 1e-9
        assert made > 1 or clock.now <= 4 * (smallest + warm_up + 1) / cap, "the second look is waited for in vain"
