"""Sent at once, kept while the store is away, sent again when it is back; by a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from safeguards.tracking.outbox import CAPACITY, REST_RATIO, REST_SECONDS, Outbox


class Store:
    """Takes what it is sent, unless told otherwise."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.params: dict[str, str] = {}
        self.calls = 0
        self.away = False

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(data=SimpleNamespace(params=dict(self.params)))

    def log_batch(self, run_id: str, *, metrics: Any, params: Any, tags: Any, synchronous: bool) -> None:
        assert synchronous, "asynchronous logging loses values without a word"
        self.calls += 1
        if self.away:
            raise MlflowException("API request to http://u:canary@h failed")
        if any(item.key == "poison" for item in (*metrics, *params, *tags)):
            raise MlflowException("no", error_code=INVALID_PARAMETER_VALUE)
        self.params |= {param.key: param.value for param in params}
        self.kept += [*metrics, *params, *tags]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def box(clock: Clock) -> Outbox:
    return Outbox(clock=clock)


def point(name: str) -> Metric:
    return Metric(name, 1.0, 0, 0)


def keys(store: Store) -> list[str]:
    return [item.key for item in store.kept]


def test_all_kinds_are_sent_in_one_call(box: Outbox, store: Store) -> None:
    box.put(point("a"), Param("p", "1"), RunTag("t", "x"), point("b"))
    assert box.send(store, "run")
    assert (keys(store), store.calls, box.missing) == (["a", "b", "p", "t"], 1, 0)


def test_what_could_not_be_sent_goes_with_the_next(
    box: Outbox, store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store.away = True
    for name in "abc":
        box.put(point(name))
        assert not box.send(store, "run")
    assert (store.calls, box.missing) == (1, 3), "a store that failed is left alone"
    [said] = [record.getMessage() for record in caplog.records]
    assert "training goes on" in said
    assert "canary" not in said
    store.away, clock.now = False, REST_SECONDS
    box.put(point("d"))
    assert box.send(store, "run")
    assert keys(store) == ["a", "b", "c", "d"]


def test_each_outage_is_said_once(box: Outbox, store: Store, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        store.away = True
        for name in "ab":
            clock.now += 1000.0
            box.put(point(name))
            box.send(store, "run")
        store.away = False
        clock.now += 1000.0
        assert box.send(store, "run")
    assert len(caplog.records) == 2


def test_the_rest_is_as_long_as_the_failure_was_slow(box: Outbox, clock: Clock) -> None:
    def hang() -> None:
        clock.now += 50.0
        raise OSError("timed out")

    assert not box.attempt("metrics", hang)
    clock.now = 50.0 + 50.0 * REST_RATIO - 1
    assert not box.attempt("metrics", lambda: None)
    assert box.attempt("metrics", lambda: None, insist=True)


def test_a_refused_entity_is_left_out_and_the_others_arrive(
    box: Outbox, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    box.put(point("a"), point("b"), point("poison"), point("c"), RunTag("t", "x"))
    assert box.send(store, "run")
    assert sorted(keys(store)) == ["a", "b", "c", "t"]
    assert [record.getMessage() for record in caplog.records] == [
        "the tracking store refused poison: MlflowException: no"
    ]


def test_a_changed_parameter_becomes_a_tag(box: Outbox, store: Store) -> None:
    box.put(Param("lr", "0.1"), Param("n", "1"))
    box.send(store, "run")
    box.put(Param("lr", "0.2"), Param("n", "1"), Param("new", "2"))
    assert box.send(store, "run")
    assert store.params == {"lr": "0.1", "n": "1", "new": "2"}
    assert [(item.key, item.value) for item in store.kept[2:]] == [("new", "2"), ("safeguards.changed.lr", "0.2")]


def test_the_oldest_are_lost_and_counted_beyond_the_capacity(
    box: Outbox, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.away = True
    box.put(*(point(str(i)) for i in range(CAPACITY - 1)))
    box.put(point("x"), point("y"), point("z"))
    assert (box.missing, box.lost, box.waiting[0].key) == (CAPACITY + 2, 2, "2")


def test_an_interruption_is_not_swallowed(box: Outbox) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        box.attempt("metrics", interrupt)
