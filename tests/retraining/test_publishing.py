"""The verdicts of a live audit in MLflow, those without a number included."""

from __future__ import annotations

import math
from pathlib import Path

from safeguards import Limit, Measurement, Moment, Outcome, Verdict
from safeguards.core.ledger import read
from safeguards.core.limit import judged
from safeguards.retraining import publish_audit, write_ledger
from safeguards.tracking import RunReader
from tests.tracking.conftest import here

__all__ = ["here"]

MOMENT = Moment(stage="live", epoch=0, step=3)


def verdict(measure: str, value: float, **more: str) -> Verdict:
    found = Measurement(value=value, n=100, **more)
    return judged(found, Limit(at_least=0.5), safeguard="live_audit", measure=measure, moment=MOMENT)


def test_a_model_that_answers_nan_fails_in_the_run_too(here: Path) -> None:
    store = f"sqlite:///{here / 'mlflow.db'}"
    told = [verdict("accuracy", 0.9), verdict("calibration_error", math.nan, model_fault="its outputs are NaN")]
    write_ledger(here / "audit", told)
    publish_audit(
        told,
        here / "audit",
        run_id="audit-1",
        name="live audit of risk",
        experiment="live audits",
        tracking_uri=store,
        tags={"live_audit.model": "risk"},
    )
    kept, problems = read(here / "audit" / "verdicts.jsonl")
    assert (problems, [one.outcome for one in kept]) == ([], [Outcome.PASS, Outcome.FAIL])
    reader = RunReader(store)
    (experiment,) = [one for one in reader.experiments() if one.name == "live audits"]
    (row,) = next(reader.rows(experiment.experiment_id, at_once=10))
    assert (row.outcome, row.ended) == (Outcome.FAIL, "finished")
    (point,) = reader.curve(row.run_id, "safeguard/live_audit/calibration_error")
    assert (point.step, math.isnan(point.value)) == (3, True)
    assert reader.curve(row.run_id, "safeguard/live_audit/accuracy")[0].value == 0.9
