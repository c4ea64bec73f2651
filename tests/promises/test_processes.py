"""Promises 2 and 3: the number of processes changes no verdict, and no rank decides alone."""

import math
from pathlib import Path
from typing import Any

import pytest

from safeguards.testing import RANK
from tests.helpers.launch import launch

JOBS = Path(__file__).with_name("jobs.py")
MOVING = {"value", "interval", "margin", "details"}
"""What sums of floats may move; the reason gives four digits of them."""
MOST_SECONDS = 5.0
"""From the last step of a validation to the end of every process where one failed: 0.1 on a machine at load 14."""


def close(one: Any, other: Any) -> bool:
    """Equal but for sums of floats, which may differ by 1e-6 relative."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    return bool(one == other)


def still(verdict: dict[str, Any]) -> dict[str, Any]:
    """What has to be equal to the letter; an error alone says which of several ranks it is of."""
    reason = RANK.sub("", verdict["reason"]) if verdict["outcome"] == "ERROR" else verdict["reason"]
    return {**{key: value for key, value in verdict.items() if key not in MOVING}, "reason": reason}


def test_the_number_of_processes_changes_no_verdict() -> None:
    (alone,) = launch(f"{JOBS}:judged", 1, strategy="auto")
    *four, broken = alone.value
    assert [v["safeguard"] for v in four] == ["overfitting", "fairness", "adversarial", "drift"]
    assert {v["outcome"] for v in four} <= {"PASS", "WARN", "FAIL", "INCONCLUSIVE"}
    assert (broken["outcome"], broken["reason"]) == ("ERROR", "ValueError: row 50 is unreadable")
    for strategy, world in (("ddp", 2), ("ddp", 3), ("deepspeed_cpu_stage_3", 2)):
        spread = launch(f"{JOBS}:judged", world, strategy=strategy)
        assert all(result.value == spread[0].value for result in spread), strategy
        assert spread[0].value[-1]["reason"] == f"rank {50 % world}: {broken['reason']}"
        for one, other in zip(alone.value, spread[0].value, strict=True):
            assert still(one) == still(other), strategy
            for key in MOVING:
                assert close(one[key], other[key]), (strategy, one["measure"], key, one[key], other[key])


@pytest.mark.parametrize("strategy", ["ddp", "deepspeed_cpu_stage_3"])
def test_a_failing_rank_is_the_same_verdict_on_all_and_training_goes_on(strategy: str) -> None:
    first, second = launch(f"{JOBS}:faulty", 2, strategy=strategy)
    assert first.value == second.value
    for bad, job in enumerate(first.value):
        failed, sound = job["said"]
        assert failed == ["toy", "ERROR", f"rank {bad}: ValueError: told to fail"]
        assert sound[:2] == ["sound", "PASS"]
        assert job["steps"] == 4


@pytest.mark.parametrize("strategy", ["ddp", "deepspeed_cpu_stage_3"])
def test_on_error_raise_ends_all_ranks_with_the_same_text(strategy: str) -> None:
    for bad in (0, 1):
        first, second = launch(f"{JOBS}:raising", 2, strategy=strategy, bad=bad)
        assert first.value["text"] == second.value["text"] == f"rank {bad}: ValueError: told to fail"
        assert max(first.value["seconds"], second.value["seconds"]) < MOST_SECONDS, "they waited for each other"
        assert abs(first.seconds - second.seconds) < MOST_SECONDS


@pytest.mark.parametrize("strategy", ["ddp", "deepspeed_cpu_stage_3"])
def test_ranks_react_together_whoever_asks(strategy: str) -> None:
    first, second = launch(f"{JOBS}:reacting", 2, strategy=strategy)
    assert first.value == second.value
    for reacted in first.value:
        assert (reacted["steps"], reacted["said"], reacted["min_epochs"]) == (2, ["FAIL"], 3)
    ends = [reacted["ended"] for reacted in first.value]
    assert ends[:3] == ["the fit ended"] * 3
    assert all(end.startswith("raised: toy/accuracy: ") for end in ends[3:])
