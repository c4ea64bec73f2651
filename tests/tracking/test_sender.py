"""The thread that sends: nobody who appends waits for it, and nobody waits longer than told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from safeguards.tracking import sender as room
from safeguards.tracking.sender import Sender


class Delivery:
    """A store that answers when ``answers`` is set, and fails as often as ``failures`` says."""

    def __init__(self, *, failures: int = 0, refusal: Exception | None = None) -> None:
        self.answers, self.asked = threading.Event(), threading.Event()
        self.answers.set()
        self.sendings = 0
        self.failures, self.refusal = failures, refusal

    def connect(self) -> Any:
        if self.refusal is not None:
            raise self.refusal
        self.answers.wait()

    def send(self) -> None:
        self.asked.set()
        self.answers.wait()
        self.sendings += 1
        if self.failures:
            self.failures -= 1
            raise OSError("away")


def until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("not within 30 s")


def test_what_is_wanted_is_sent() -> None:
    delivery = Delivery()
    sender = Sender(delivery)
    assert sender.greeted(30)
    sender.wake()
    assert sender.drain(30)
    assert delivery.sendings >= 1


def test_the_first_answer_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="no such experiment"):
        Sender(Delivery(refusal=ValueError("no such experiment"))).greeted(30)
    assert caplog.records == [], "who asks tells it"
    with pytest.raises(OSError, match="away"):
        Sender(Delivery(refusal=OSError("away"))).greeted(30)
    assert "training goes on" in caplog.text


def test_a_store_that_never_answers_is_waited_for_no_longer_than_told() -> None:
    delivery = Delivery()
    delivery.answers.clear()
    sender = Sender(delivery)
    assert not sender.greeted(0.05)
    sender.wake()
    began = time.monotonic()
    assert not sender.drain(0.05)
    assert time.monotonic() - began < 10
    delivery.answers.set()
    assert sender.drain(30)


def test_a_drain_ends_with_the_first_attempt_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    rests = {**room.Breaker.__init__.__kwdefaults__, "first": 900.0, "longest": 900.0}
    monkeypatch.setattr(room.Breaker.__init__, "__kwdefaults__", rests)
    delivery = Delivery(failures=1)
    sender = Sender(delivery)
    began = time.monotonic()
    assert not sender.drain(60)
    assert time.monotonic() - began < 30
    assert sender.rests
    assert sender.drain(10), "a store that rests is asked all the same"
    assert not sender.rests


def test_what_comes_while_the_store_is_busy_is_sent_too() -> None:
    delivery = Delivery()
    sender = Sender(delivery)
    assert sender.drain(30)
    delivery.answers.clear()
    delivery.asked.clear()
    sender.wake()
    assert delivery.asked.wait(30)
    sender.wake()
    before = delivery.sendings
    delivery.answers.set()
    assert sender.drain(30)
    assert delivery.sendings == before + 2


def test_a_store_that_is_away_is_asked_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LINGER", 0.01)
    monkeypatch.setattr(
        room.Breaker.__init__, "__kwdefaults__", {**room.Breaker.__init__.__kwdefaults__, "first": 0.01}
    )
    delivery = Delivery(failures=3)
    sender = Sender(delivery)
    sender.wake()
    until(lambda: delivery.sendings == 4)


def test_an_idle_thread_ends_and_the_next_word_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IDLE", 0.01)
    delivery = Delivery()
    sender = Sender(delivery)
    until(lambda: not sender._works)
    assert sender.drain(30)
    assert delivery.sendings == 1
