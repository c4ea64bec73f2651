from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.errors import ConfigurationError, LedgerError
from safeguards.retraining import Audit, Trigger, append_audit, audits

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


ONE, TWO = (Audit(data=d, model="m", alarm=True, opened=False, reasons=("drift \u00fc",)) for d in "ab")


def test_audits_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audits.jsonl"
    assert audits(path) == []
    append_audit(path, ONE)
    append_audit(path, TWO)
    assert audits(path) == [ONE, TWO]


def test_the_same_delivery_looked_at_twice_counts_once(tmp_path: Path) -> None:
    append_audit(tmp_path / "a", ONE)
    append_audit(tmp_path / "a", ONE)
    assert audits(tmp_path / "a") == [ONE]


def test_a_line_torn_at_any_length_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "a"
    append_audit(path, ONE)
    first = path.read_bytes()
    append_audit(path, TWO)
    whole = path.read_bytes()
    for length in range(len(first), len(whole) - 1):
        path.write_bytes(whole[:length])
        assert audits(path) == [ONE]
        append_audit(path, TWO)
        assert audits(path) == [ONE, TWO]


@pytest.mark.parametrize("line", ["{}", "3", '{"data":"a","model":"m","alarm":"no","opened":false,"reasons":[]}'])
def test_a_line_that_is_no_audit_is_not_taken_for_calm(tmp_path: Path, line: str) -> None:
    (tmp_path / "a").write_text(line + "\n")
    with pytest.raises(LedgerError, match="a:1 is no audit"):
        audits(tmp_path / "a")
