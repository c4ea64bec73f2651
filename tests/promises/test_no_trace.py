"""Promise 1: watching leaves no trace. One process group per strategy runs all its cases."""

from pathlib import Path

import pytest

from tests.helpers.launch import launch

JOBS = Path(__file__).with_name("jobs.py")
SAFEGUARDS = {"overfitting", "fairness", "adversarial", "drift"}


@pytest.mark.parametrize(
    ("strategy", "world"),
    [
        ("auto", 1),
        ("ddp", 2),
        ("deepspeed_cpu_stage_1", 2),
        ("deepspeed_cpu_stage_2", 2),
        ("deepspeed_cpu_stage_3", 2),
    ],
)
def test_training_is_bit_identical_with_every_safeguard_on(strategy: str, world: int) -> None:
    for result in launch(f"{JOBS}:grid", world, strategy=strategy):
        assert len(result.value) == 8
        for case in result.value:
            assert case["watched"] == case["bare"], case["case"]
            judged = [(name, outcome, reason) for name, outcome, reason in case["verdicts"] if outcome != "ERROR"]
            assert len(judged) == len(case["verdicts"]), case["verdicts"]
            looks = 4 if "every 0.5" in case["case"] else 2
            assert {name: [v[0] for v in judged].count(name) for name in SAFEGUARDS} == dict.fromkeys(SAFEGUARDS, looks)
