"""A live audit in MLflow, a run of its own that a reviewer finds as he finds those of trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safeguards.core.ending import Summary
from safeguards.core.ledger import Ledger
from safeguards.core.verdict import Verdict

__all__ = ["publish_audit", "write_ledger"]

LEDGER = "verdicts.jsonl"


def write_ledger(folder: Path, verdicts: Sequence[Verdict]) -> None:
    """The local file: one JSON line for each verdict. Raises `LedgerError`."""
    Ledger(folder / LEDGER).append(list(verdicts))


def publish_audit(
    verdicts: Sequence[Verdict],
    folder: Path,
    *,
    run_id: str,
    name: str,
    experiment: str,
    tracking_uri: str | None,
    tags: Mapping[str, str],
) -> None:
    """Keep the verdicts and the folder of their ledger in an MLflow run called ``name``.

    ``run_id`` is what the audit is known by: kept again after a crash it goes on in the same run. A store that is away
    costs a line in the log, and ``safeguards sync`` sends what is left, as after a training.
    """
    from safeguards.tracking import MLflowTracker

    tracker = MLflowTracker(experiment_name=experiment, run_name=name, tracking_uri=tracking_uri, tags=dict(tags))
    tracker.begin_safeguards(run_id, folder)
    values = {f"safeguard/{one.safeguard}/{one.measure}": one.value for one in verdicts if one.value is not None}
    if values:
        tracker.log_metrics(values, step=verdicts[0].moment.step)
    tracker.publish_safeguards(Summary(run_id=run_id, directory=folder, verdicts=tuple(verdicts), ended="finished"))
    tracker.finalize("success")
