"""Runs as a tracking store holds them, for tests of who reads them: a few with artifacts, or thousands at once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safeguards.core.ending import Summary
from safeguards.core.limit import Limit
from safeguards.core.verdict import Moment, Outcome, Verdict
from safeguards.tracking.outcomes import tags_of

VALUES = {Outcome.PASS: 0.05, Outcome.WARN: 0.09, Outcome.FAIL: 0.3, Outcome.INCONCLUSIVE: 0.1}


def verdict(
    measure: str = "gap", outcome: str = "PASS", *, safeguard: str = "fairness", epoch: int = 0, **more: Any
) -> Verdict:
    """At most 0.1, with a value that suits the outcome."""
    value, limit = VALUES.get(Outcome(outcome)), Limit(at_most=0.1)
    given = {
        "reason": f"{outcome} it is",
        "value": value,
        "limit": limit,
        "margin": None if value is None else limit.margin(value),
        "n": 100,
        **more,
    }
    moment = Moment(stage="validate", epoch=epoch, step=10 * epoch)
    return Verdict(safeguard=safeguard, measure=measure, outcome=Outcome(outcome), moment=moment, **given)


def kept(
    client: Any,
    experiment: str,
    name: str,
    verdicts: Sequence[Verdict],
    *,
    place: Path,
    ended: str = "finished",
    files: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """A run with its ledger and ``files`` below ``safeguards/``; returns MLflow's id."""
    made = tags_of(Summary(run_id=f"ledger-{name}"[:60], directory=place, verdicts=tuple(verdicts), ended=ended))
    run = client.create_run(experiment, run_name=name, tags={**made, **(tags or {})})
    run_id = str(run.info.run_id)
    for key, value in (parameters or {}).items():
        client.log_param(run_id, key, value)
    folder = place / run_id
    folder.mkdir()
    lines = "".join(json.dumps(one.to_dict()) + "\n" for one in verdicts)
    for path, text in {"verdicts.jsonl": lines, **(files or {})}.items():
        (folder / path).write_text(text)
    client.log_artifacts(run_id, str(folder), "safeguards")
    client.set_terminated(run_id)
    return run_id


def many(database: Path, experiment: str, outcomes: Sequence[Mapping[str, str]]) -> None:
    """A run for each item, written as rows of MLflow's tables: through its client a thousand take half a minute. An
    item is the outcome by measure; a run started a minute after the one before it.
    """
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{database}", str(database.parent / "mlruns"))
    number = int(store.create_experiment(experiment))
    rows: dict[Any, list[dict[str, Any]]] = {SqlRun: [], SqlTag: [], SqlParam: [], SqlLatestMetric: []}
    for place, found in enumerate(outcomes):
        run_id, began = uuid.UUID(int=place + 1).hex, 1_760_000_000_000 + 60_000 * place
        verdicts = tuple(verdict(name, outcome) for name, outcome in found.items())
        tags = tags_of(Summary(run_id=f"ledger-{place}", directory=Path(), verdicts=verdicts, ended="finished"))
        tags |= {"mlflow.runName": f"run {place}", "mlflow.user": "somebody", "safeguards.tracking": "complete"}
        fixed = {"name": f"run {place}", "source_type": "LOCAL", "user_id": "somebody", "status": "FINISHED"}
        times = {"start_time": began, "end_time": began + 50_000, "lifecycle_stage": "active", "experiment_id": number}
        rows[SqlRun].append({"run_uuid": run_id, "artifact_uri": f"/none/{run_id}/artifacts", **fixed, **times})
        rows[SqlTag] += [{"run_uuid": run_id, "key": key, "value": value} for key, value in tags.items()]
        rows[SqlParam] += [{"run_uuid": run_id, "key": f"p{i}", "value": "1"} for i in range(15)]
        point = {"timestamp": 1, "step": 1, "is_nan": False}
        rows[SqlLatestMetric] += [{"run_uuid": run_id, "key": f"m{i}", "value": 0.5, **point} for i in range(20)]
    with store.ManagedSessionMaker(read_only=False) as session:
        for model, made in rows.items():
            session.bulk_insert_mappings(model, made)
