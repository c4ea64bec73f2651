"""One point per step after a resume: the same point again is dropped, another one is kept beside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from safeguards.tracking.entities import Parameter, Point
from safeguards.tracking.history import Earlier


class Store:
    """A run with these points."""

    def __init__(self, *points: Point) -> None:
        self.points = list(points)
        self.asked: list[str] = []

    def get_metric_history(self, run_id: str, key: str) -> list[Any]:
        self.asked.append(key)
        found = [p for p in self.points if p.key == key]
        return [SimpleNamespace(value=p.value, timestamp=p.timestamp, step=p.step) for p in found]


def earlier(*points: Point, own: Sequence[Point] = ()) -> Earlier:
    return Earlier(Store(*points), "run", lambda: {(one.step, one.timestamp) for one in own})


THERE = Point("loss", 0.5, 50, 4)


def test_the_same_value_at_the_same_step_is_the_same_point() -> None:
    known = earlier(THERE, Point("nan", math.nan, 50, 4))
    assert known.settle([Point("loss", 0.5, 150, 4), Point("nan", math.nan, 150, 4)]) == []
    assert known.repeated == {4}


def test_another_value_at_the_same_step_is_kept_beside() -> None:
    known = earlier(THERE)
    assert known.settle([Point("loss", 0.25, 150, 4)]) == [Point("repeated/loss", 0.25, 150, 4)]


def test_a_third_training_of_a_step_is_kept_beside_the_second() -> None:
    known = earlier(THERE, Point("repeated/loss", 0.25, 60, 4))
    assert known.settle([Point("loss", 0.125, 150, 4)]) == [Point("repeated/repeated/loss", 0.125, 150, 4)]
    assert known.settle([Point("loss", 0.25, 150, 4)]) == []


def test_new_steps_uncounted_steps_and_other_things_pass() -> None:
    new = [Point("loss", 0.1, 150, 5), Point("loss", 0.1, 150, None), Parameter("p", "1"), Point("other", 1.0, 150, 4)]
    known = earlier(THERE)
    assert known.settle(new) == new
    assert known.repeated == set()


def test_the_own_points_are_no_earlier_ones() -> None:
    """Sent again after a crash, and logged twice at one step: both are as the job made them."""
    own = Point("loss", 0.5, 150, 4)
    again = own._replace(value=0.25, timestamp=160)
    assert earlier(own, own=[own, again]).settle([own, again]) == [own, again]


def test_a_job_that_is_late_gives_way_to_those_that_followed_it() -> None:
    followed = Point("loss", 0.5, 250, 4)
    late = Point("loss", 0.5, 150, 4)
    assert earlier(followed, own=[late]).settle([late]) == []


def test_a_clock_that_was_ahead_hides_no_point_of_the_job_before() -> None:
    """The first host was an hour ahead: its step was made after all that the second will ever log."""
    first, again = Point("loss", 0.5, 3_700_000, 4), Point("loss", 0.25, 150_000, 4)
    assert earlier(first, own=[again]).settle([again]) == [Point("repeated/loss", 0.25, 150_000, 4)]


def test_each_history_is_asked_for_once() -> None:
    store = Store(THERE)
    known = Earlier(store, "run", set)
    for step in range(5):
        known.settle([Point("loss", 0.1, 150, step), Point("other", 0.1, 150, step)])
    assert store.asked == ["loss", "other", "repeated/loss"]


VALUES = st.sampled_from([0.0, 1.0, math.nan])


@given(
    st.dictionaries(st.integers(0, 5), VALUES), st.lists(st.tuples(st.integers(0, 5), VALUES), unique_by=lambda x: x[0])
)
def test_no_step_has_two_points(before: dict[int, float], after: list[tuple[int, float]]) -> None:
    known = earlier(*(Point("x", value, 50, step) for step, value in before.items()))
    sent = known.settle([Point("x", value, 150, step) for step, value in after])
    places = [(p.key, p.step) for p in sent if isinstance(p, Point)] + [("x", step) for step in before]
    assert len(places) == len(set(places))
    fresh = [(step, str(value)) for step, value in after if str(before.get(step)) != str(value)]
    assert [(p.step, str(p.value)) for p in sent if isinstance(p, Point)] == fresh
