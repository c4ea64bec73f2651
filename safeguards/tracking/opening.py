"""The experiment and the run of a job: made once, and found again by the tags that carry our ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError
from safeguards.tracking.store import alone, check, locked

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

__all__ = ["LEDGER", "SPOOL", "TRACKING", "Opened", "connect", "joined", "open_run", "remove_twins"]

LEDGER, SPOOL, TRACKING = "safeguards.run_id", "safeguards.spool", "safeguards.tracking"
WAITING = "waiting"
OPENING_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The MLflow run of a job. ``shared``: other jobs have logged to it. ``owned``: this job says how it ends."""

    run_id: str
    shared: bool
    owned: bool


def connect(uri: str, job: Mapping[str, Any]) -> tuple[MlflowClient, str]:
    """The client, and the id of the job's experiment, made with its tables if need be.

    Raises `ConfigurationError` where the store is there and will never take the job, and whatever MLflow raises.
    """
    from mlflow.tracking import MlflowClient

    check(uri)
    with alone(uri):
        client = MlflowClient(uri)
        if job["run"] is not None:
            return client, str(client.get_run(job["run"]).info.experiment_id)
        return client, _experiment(client, job) or _experiment(client, job) or ""


def _experiment(client: MlflowClient, job: Mapping[str, Any]) -> str | None:
    """None when another host made it between the look and the attempt: the lock spans one machine only."""
    name = job["experiment"]
    found = client.get_experiment_by_name(name)
    if found is None:
        with suppress(_AlreadyThere):
            return _made(client, name, job["artifact_location"])
        return None
    if found.lifecycle_stage == "deleted":
        raise ConfigurationError(f"the experiment {name!r} is deleted: restore it, or name another experiment_name")
    return str(found.experiment_id)


class _AlreadyThere(Exception):  # noqa: N818 - no failure
    pass


def _made(client: MlflowClient, name: str, location: str | None) -> str:
    try:
        return str(client.create_experiment(name, location))
    except Exception as error:
        if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
            raise
    raise _AlreadyThere


def open_run(
    client: MlflowClient, experiment: str, job: Mapping[str, Any], *, ledger: str | None, live: bool, place: Path
) -> Opened:
    """The run that the job goes on in, or a new one.

    A job that lives takes a run over; one that is gone does not take it from the job that followed.
    ``place`` is where the spools are: those who send from there make runs one after another.
    """
    with locked(place / ".opening.lock", OPENING_SECONDS):
        found = _found(client, experiment, job, ledger)
        if found is None:
            return Opened(run_id=_new(client, experiment, job, ledger), shared=False, owned=True)
    last = found.data.tags.get(SPOOL)
    run_id, mine = str(found.info.run_id), last == job["id"]
    if live and not mine:
        client.set_tag(run_id, SPOOL, job["id"])
        client.set_tag(run_id, TRACKING, WAITING)
    if live:
        client.update_run(run_id, status="RUNNING")
    return Opened(run_id=run_id, shared=True, owned=live or mine)


def _found(client: MlflowClient, experiment: str, job: Mapping[str, Any], ledger: str | None) -> Run | None:
    if job["run"] is not None:
        return client.get_run(job["run"])
    return (ledger and _tagged(client, experiment, LEDGER, ledger)) or _tagged(client, experiment, SPOOL, job["id"])


def _new(client: MlflowClient, experiment: str, job: Mapping[str, Any], ledger: str | None) -> str:
    tags = {**job["tags"], SPOOL: job["id"], TRACKING: WAITING} | ({LEDGER: ledger} if ledger else {})
    made = client.create_run(experiment, start_time=job["began"], tags=tags, run_name=job["name"])
    return str(made.info.run_id)


def joined(client: MlflowClient, experiment: str, ledger: str, made: str) -> str | None:
    """The run of a ledger that is not ``made``, the run that this job made before it knew of the ledger."""
    found = _tagged(client, experiment, LEDGER, ledger)
    return None if found is None or found.info.run_id == made else str(found.info.run_id)


def remove_twins(client: MlflowClient, experiment: str, job: Mapping[str, Any], run_id: str) -> None:
    """A server that answers late may have made the run twice: the second was never written to."""
    for run in _all_tagged(client, experiment, SPOOL, job["id"]):
        if run.info.run_id != run_id and not run.data.metrics and not run.data.params:
            client.delete_run(run.info.run_id)


def _tagged(client: MlflowClient, experiment: str, tag: str, value: str) -> Run | None:
    return next(iter(_all_tagged(client, experiment, tag, value)), None)


def _all_tagged(client: MlflowClient, experiment: str, tag: str, value: str) -> list[Run]:
    """The earliest first. An id comes out of a checkpoint or a file and goes into a query: anything else is no id."""
    if not re.fullmatch(r"[\w-]{1,80}", value):
        return []
    wanted = f"tags.`{tag}` = '{value}'"
    return list(client.search_runs([experiment], wanted, order_by=["attributes.start_time ASC"], max_results=10))
