"""A store that failed is left alone for a while; by a clock of the test's own."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException

from safeguards.tracking.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail() -> None:
    raise MlflowException("API request to http://u:canary@h failed")


def test_it_rests_twice_as_long_after_each_failure_up_to_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    breaker = Breaker(first=1.0, longest=5.0, clock=clock)
    rests = []
    for _ in range(5):
        assert not breaker.attempt("sending", fail)
        rests.append(breaker.left)
        clock.now += breaker.left
    assert rests == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert breaker.is_open
    assert breaker.attempt("sending", lambda: None)
    assert (breaker.is_open, breaker.left) == (False, 0.0)


def test_while_it_rests_nobody_is_asked_who_does_not_insist() -> None:
    breaker, asked = Breaker(clock=Clock()), []
    breaker.attempt("sending", fail)
    assert not breaker.attempt("sending", lambda: asked.append("rest"))
    assert breaker.attempt("sending", lambda: asked.append("insist"), insist=True)
    assert asked == ["insist"]


def test_each_outage_is_said_once_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker(clock=Clock())
    for _ in range(2):
        breaker.attempt("sending", fail, insist=True)
        breaker.attempt("sending", fail, insist=True)
        breaker.attempt("sending", lambda: None, insist=True)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all("training goes on (sending: MlflowException" in line and "canary" not in line for line in lines)


def test_an_interruption_is_not_swallowed() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Breaker().attempt("sending", interrupt)
