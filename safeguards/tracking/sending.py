"""Points, parameters and tags into a run, in batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError
from safeguards.tracking.entities import Parameter, Point, Tag
from safeguards.tracking.names import LONGEST_TAG, cut, key
from safeguards.tracking.store import said

if TYPE_CHECKING:
    from mlflow.entities import Metric, RunTag
    from mlflow.tracking import MlflowClient

__all__ = ["BATCH", "deliver"]

log = logging.getLogger(__name__)

BATCH = 1000
"""What MLflow takes in one request."""
Entity = Point | Parameter | Tag


def deliver(client: MlflowClient, run_id: str, entities: Sequence[Entity]) -> None:
    """Send them now. MLflow keeps a point that arrives twice once.

    What the store refuses for what it is, rather than being away, is found by halves and left out.
    """
    for start in range(0, len(entities), BATCH):
        _deliver(client, run_id, entities[start : start + BATCH])


def _deliver(client: MlflowClient, run_id: str, batch: Sequence[Entity]) -> None:
    try:
        _log(client, run_id, batch)
    except Exception as error:
        if getattr(error, "error_code", None) != "INVALID_PARAMETER_VALUE":
            raise
        _refuse_deleted(client, run_id)
        if len(batch) == 1:
            log.warning("the tracking store refused %s: %s", said(batch[0].key), said(error))
            return
        middle = len(batch) // 2
        _deliver(client, run_id, batch[:middle])
        _deliver(client, run_id, batch[middle:])


def _refuse_deleted(client: MlflowClient, run_id: str) -> None:
    """Each point of a deleted run is refused, as if the point were at fault."""
    if client.get_run(run_id).info.lifecycle_stage == "deleted":
        raise ConfigurationError(f"the MLflow run {run_id} is deleted: restore it, and what waits for it is sent")


def _log(client: MlflowClient, run_id: str, batch: Sequence[Entity]) -> None:
    from mlflow.entities import RunTag

    params, changed = _settled(client, run_id, [item for item in batch if isinstance(item, Parameter)])
    client.log_batch(
        run_id,
        metrics=[_metric(item) for item in batch if isinstance(item, Point)],
        params=params,
        tags=[*changed, *(RunTag(item.key, item.value) for item in batch if isinstance(item, Tag))],
        synchronous=True,
    )


def _metric(point: Point) -> Metric:
    from mlflow.entities import Metric

    return Metric(point.key, point.value, point.timestamp, point.step or 0)


def _settled(client: MlflowClient, run_id: str, params: Sequence[Parameter]) -> tuple[list[Any], list[RunTag]]:
    """Parameters that the run has not yet, and tags for those that it has with another value: MLflow refuses them."""
    from mlflow.entities import Param, RunTag

    if not params:
        return [], []
    stored = client.get_run(run_id).data.params
    wanted = {param.key: param.value for param in reversed(params)}  # of several values the first is kept
    fresh = [Param(name, value) for name, value in wanted.items() if name not in stored]
    known = {**wanted, **stored}
    changed = {param.key: param.value for param in params if param.value != known[param.key]}
    return fresh, [RunTag(key(f"safeguards.changed.{n}"), cut(value, LONGEST_TAG)) for n, value in changed.items()]
