from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.errors import ConfigurationError
from safeguards.retraining import Audit, Trigger

TRIGGER = Trigger(k=2, n=3, cooldown=3)


def run(alarms: str, trigger: Trigger = TRIGGER, models: str | None = None) -> str:
    """What each audit of a row of them does: "!" is an alarm, "o" in the answer an opened retraining."""
    past: list[Audit] = []
    for number, (alarm, model) in enumerate(zip(alarms, models or "m" * len(alarms), strict=True)):
        opened = trigger.opens(past, model=model, alarm=alarm == "!")
        past.append(Audit(data=str(number), model=model, alarm=alarm == "!", opened=opened))
    return "".join("o" if audit.opened else "." for audit in past)


@pytest.mark.parametrize(
    ("alarms", "opened"),
    [
        ("......", "......"),
        ("!.....", "......"),
        ("!!....", ".o...."),
        ("!.!...", "..o..."),
        ("!..!..", "......"),
        ("!!!!!!", ".o...o"),
        ("!!...!!", ".o....o"),
        ("!!.", ".o."),
    ],
)
def test_two_of_three_and_none_again_for_three(alarms: str, opened: str) -> None:
    assert run(alarms) == opened


def test_without_a_cooldown_every_alarm_of_a_drift_opens() -> None:
    assert run("!!!!", Trigger(k=2, n=3, cooldown=0)) == ".ooo"


def test_a_calm_audit_opens_nothing_whatever_came_before() -> None:
    assert run("!!!", Trigger(k=1, n=3, cooldown=0)) == "ooo"
    assert run("!.", Trigger(k=1, n=3, cooldown=0)) == "o."


def test_what_was_said_of_the_last_champion_is_past() -> None:
    assert run("!!!!", models="aabb") == ".o.o"
    assert run("!!", models="ab") == ".."


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(0, 3), st.integers(0, 5))
def test_openings_keep_their_distance(alarms: list[bool], k: int, more: int, cooldown: int) -> None:
    text = "".join("!" if alarm else "." for alarm in alarms)
    opened = [place for place, sign in enumerate(run(text, Trigger(k=k, n=k + more, cooldown=cooldown))) if sign == "o"]
    assert all(later - earlier > cooldown for earlier, later in pairwise(opened))
    assert all(sum(alarms[max(0, place - k - more + 1) : place + 1]) >= k for place in opened)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 4}, {"cooldown": -1}, {"n": 2.5}, {"k": True}])
def test_a_trigger_that_makes_no_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigurationError, match="1 <= k <= n"):
        Trigger(**wrong)
