"""Batches into a run: what the store refuses for what it is costs that one, and a changed parameter is a tag."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from safeguards.core.errors import ConfigurationError
from safeguards.tracking.entities import Parameter, Point, Tag
from safeguards.tracking.sending import BATCH, deliver


class Store:
    """Takes what it is sent, unless it is poison."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.params: dict[str, str] = {}
        self.batches: list[int] = []
        self.stage = "active"

    def get_run(self, run_id: str) -> Any:
        info = SimpleNamespace(lifecycle_stage=self.stage)
        return SimpleNamespace(data=SimpleNamespace(params=dict(self.params)), info=info)

    def log_batch(self, run_id: str, *, metrics: Any, params: Any, tags: Any, synchronous: bool) -> None:
        assert synchronous, "asynchronous logging loses values without a word"
        self.batches.append(len(metrics) + len(params) + len(tags))
        if self.stage == "deleted" or any(item.key == "poison" for item in (*metrics, *params, *tags)):
            raise MlflowException("no", error_code=INVALID_PARAMETER_VALUE)
        self.params |= {param.key: param.value for param in params}
        self.kept += [*metrics, *params, *tags]


@pytest.fixture
def store() -> Store:
    return Store()


def point(name: str, step: int | None = 0) -> Point:
    return Point(name, 1.0, 5, step)


def keys(store: Store) -> list[str]:
    return [item.key for item in store.kept]


def test_all_kinds_are_sent_in_one_call(store: Store) -> None:
    deliver(store, "run", [point("a", 3), Parameter("p", "1"), Tag("t", "x"), point("b", None)])
    assert (keys(store), store.batches) == (["a", "b", "p", "t"], [4])
    assert [(m.value, m.timestamp, m.step) for m in store.kept[:2]] == [(1.0, 5, 3), (1.0, 5, 0)]


def test_a_long_outage_arrives_in_batches(store: Store) -> None:
    deliver(store, "run", [point(str(i)) for i in range(2 * BATCH + 1)])
    assert store.batches == [BATCH, BATCH, 1]
    assert len(set(keys(store))) == 2 * BATCH + 1


def test_a_refused_entity_is_left_out_and_the_others_arrive(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    deliver(store, "run", [point("a"), point("b"), point("poison"), point("c"), Tag("t", "x")])
    assert sorted(keys(store)) == ["a", "b", "c", "t"]
    assert [record.getMessage() for record in caplog.records] == [
        "the tracking store refused poison: MlflowException: no"
    ]


def test_the_points_of_a_deleted_run_wait_for_it(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.stage = "deleted"
    with pytest.raises(ConfigurationError, match="the MLflow run r1 is deleted: restore it"):
        deliver(store, "r1", [point("a"), point("b")])
    assert caplog.records == []


def test_a_changed_parameter_becomes_a_tag(store: Store) -> None:
    deliver(store, "run", [Parameter("lr", "0.1"), Parameter("n", "1")])
    deliver(store, "run", [Parameter("lr", "0.2"), Parameter("n", "1"), Parameter("new", "2"), Parameter("new", "3")])
    assert store.params == {"lr": "0.1", "n": "1", "new": "2"}
    assert [(item.key, item.value) for item in store.kept[2:]] == [
        ("new", "2"),
        ("safeguards.changed.lr", "0.2"),
        ("safeguards.changed.new", "3"),
    ]
