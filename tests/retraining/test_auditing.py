"""How a live audit ended, by its verdicts and the book; the steps themselves run in tests/pipelines/test_audit.py."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from safeguards import Moment, Outcome, Verdict
from safeguards.retraining import Held, Shelf, Trigger


def judged(outcome: Outcome) -> dict[str, Any]:
    moment = Moment(stage="live", epoch=0, step=0)
    verdict = Verdict(safeguard="live_audit", measure="accuracy", outcome=outcome, reason="0.5 of 0.9", moment=moment)
    return {"model": "record", "verdicts": [verdict.to_dict()]}


def held(folder: Path, **given: Any) -> Held:
    nothing = dict.fromkeys((field.name for field in fields(Held)), None)
    delivery = SimpleNamespace(manifest=SimpleNamespace(fingerprint="week 1"))
    return Held(**{**nothing, "shelf": Shelf(root=folder, model="risk"), "delivery": delivery, **given})


@pytest.mark.parametrize(
    ("outcome", "k", "ended"),
    [
        (Outcome.PASS, 1, "calm"),
        (Outcome.INCONCLUSIVE, 1, "calm"),
        (Outcome.FAIL, 2, "alarm"),
        (Outcome.FAIL, 1, "opened"),
    ],
)
def test_only_a_failure_alarms_and_enough_alarms_open(tmp_path: Path, outcome: Outcome, k: int, ended: str) -> None:
    this, found = held(tmp_path, trigger=Trigger(k=k, n=3)), judged(outcome)
    noted = this.note(found, "job")
    assert noted == {"alarm": ended != "calm", "opened": ended == "opened"}
    assert this.ended(found, noted) == {"ended": ended, "verdicts": [f"  accuracy: {outcome}, 0.5 of 0.9"]}
