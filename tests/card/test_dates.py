"""How fresh the evidence is: when each verdict was reached, and what live audits found since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from safeguards.card import write_card
from safeguards.tracking import AUDITED
from tests.card.records import champion, record
from tests.card.test_card import sealed, told, tracked
from tests.helpers.markup import Parsed
from tests.helpers.runs import kept, verdict

__all__ = ["tracked"]
NOVEMBER = 1_764_331_200_000  # 2025-11-28 12:00 UTC


def page(place: Path, tracked: Any, **changes: Any) -> str:
    reader, run, ledger = tracked
    made = write_card(place / "card.html", replace(sealed(run, ledger), **changes), reader=reader)
    return Parsed(made.read_text()).text


def test_each_last_verdict_has_the_date_at_which_its_metric_was_logged(tracked: Any, tmp_path: Path) -> None:
    reader, run, _ = tracked
    client = MlflowClient(reader.uri)
    for step, when in ((0, NOVEMBER - 9 * 86_400_000), (10, NOVEMBER)):
        client.log_metric(run, "safeguard/overfitting/gap", 0.1, step=step, timestamp=when)
    client.log_metric(run, "safeguard/fairness/parity", 0.1, step=7, timestamp=NOVEMBER)
    text = page(tmp_path, tracked)
    assert "overfitting gap validate , step 10 , 2025-11-28 12:00 UTC" in text
    assert "2025-11-19" not in text
    assert "fairness parity validate , step 10 ✓" in text, "a metric of another step is of another look"


def test_live_audits_of_this_record_are_told_and_of_no_other(tracked: Any, tmp_path: Path) -> None:
    reader, run, ledger = tracked
    assert "The tracking store holds no live audit of this model." in page(tmp_path, tracked)
    client: Any = MlflowClient(reader.uri)
    experiment = client.create_experiment("live audits", (tmp_path / "audits").as_uri())
    digest = sealed(run, ledger).digest
    audits = {"calm": (digest, "PASS"), "worse": (digest, "FAIL"), "another": (champion().digest, "ERROR")}
    for name, (of, outcome) in audits.items():
        judged = [verdict("accuracy", outcome, safeguard="live_audit")]
        kept(client, experiment, name, judged, place=tmp_path, tags={AUDITED: of})
    text = page(tmp_path, tracked)
    found = text.partition("Live audits of this model, the newest first")[2].partition("Who decided what")[0]
    assert found.count("accuracy ✓ PASS") == found.count("accuracy ✕ FAIL") == 1
    assert found.index("FAIL") < found.index("PASS")
    assert "ERROR" not in found


def test_without_a_store_nothing_is_claimed_of_live_audits() -> None:
    assert "so that it tells of no live audit" in told(record=record()).text
