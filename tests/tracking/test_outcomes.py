"""Tags by which a reviewer filters runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards.core.ending import Summary
from safeguards.core.verdict import Moment, Outcome, Verdict
from safeguards.tracking.outcomes import tags_of


def verdict(
    measure: str,
    outcome: str,
    *,
    epoch: int = 0,
    stage: str = "validate",
    loader: str | None = None,
    margin: float | None = None,
) -> Verdict:
    return Verdict(
        safeguard="fairness",
        measure=measure,
        outcome=Outcome(outcome),
        reason="",
        margin=margin,
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
        "safeguards.fairness.gap.margin": "none",
        "safeguards.fairness.ratio": "WARN",
        "safeguards.fairness.ratio.margin": "none",
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


def test_the_margin_is_the_least_of_the_outcome_that_is_told() -> None:
    made = tags(
        verdict("gap", "PASS", margin=0.001),
        verdict("gap", "FAIL", margin=-0.2, loader="1"),
        verdict("gap", "FAIL", margin=-0.3456789, loader="2"),
        verdict("gap", "FAIL", margin=float("nan"), loader="3"),
    )
    assert (made["safeguards.fairness.gap"], made["safeguards.fairness.gap.margin"]) == ("FAIL", "-0.345679")


def test_a_measure_that_is_called_as_a_margin_is_keeps_its_outcome() -> None:
    made = tags(verdict("gap", "PASS", margin=0.1), verdict("gap.margin", "FAIL", margin=-0.1))
    assert (made["safeguards.fairness.gap"], made["safeguards.fairness.gap.margin"]) == ("PASS", "FAIL")


def test_a_name_that_fills_the_key_has_no_margin() -> None:
    made = tags(verdict("m" * 300, "FAIL", margin=-0.1))
    assert all(len(name) <= 250 for name in made)
    assert [value for name, value in made.items() if "mmm" in name] == ["FAIL"]
