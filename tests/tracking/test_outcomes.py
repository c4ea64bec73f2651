"""Tags by which a reviewer filters runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards.core.ending import Summary
from safeguards.core.verdict import Moment, Outcome, Verdict
from safeguards.tracking.outcomes import tags_of


def verdict(
    measure: str, outcome: str, *, epoch: int = 0, stage: str = "validate", loader: str | None = None
) -> Verdict:
    return Verdict(
        safeguard="fairness",
        measure=measure,
        outcome=Outcome(outcome),
        reason="",
        moment=Moment(stage=stage, epoch=epoch, step=epoch, loader=loader),
    )


def tags(*verdicts: Verdict, ended: str = "finished") -> dict[str, str]:
    return tags_of(Summary(run_id="r1", directory=Path(), verdicts=verdicts, ended=ended))


def test_one_tag_per_measure_and_one_over_all() -> None:
    assert tags(verdict("gap", "PASS"), verdict("ratio", "WARN"), ended="stopped_for_safety") == {
        "safeguards.run_id": "r1",
        "safeguards.ended": "stopped_for_safety",
        "safeguards.outcome": "WARN",
        "safeguards.verdicts": "1 PASS, 1 WARN",
        "safeguards.fairness.gap": "PASS",
        "safeguards.fairness.ratio": "WARN",
    }


def test_the_latest_epoch_decides_and_the_count_remembers() -> None:
    made = tags(verdict("gap", "FAIL", epoch=0), verdict("gap", "PASS", epoch=1))
    assert (made["safeguards.outcome"], made["safeguards.fairness.gap"]) == ("PASS", "PASS")
    assert made["safeguards.verdicts"] == "1 PASS, 1 FAIL"


@pytest.mark.parametrize("other", [{"loader": "1"}, {"stage": "test"}])
def test_the_gravest_of_loaders_and_stages_decides(other: dict[str, str]) -> None:
    made = tags(verdict("gap", "FAIL"), verdict("gap", "PASS", **other))
    assert (made["safeguards.outcome"], made["safeguards.fairness.gap"]) == ("FAIL", "FAIL")


def test_silence_is_not_a_pass() -> None:
    assert tags()["safeguards.outcome"] == "NOT_EVALUATED"
    assert tags()["safeguards.verdicts"] == "none"
