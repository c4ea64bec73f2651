"""The same safeguards under Lightning's own DeepSpeed strategy, where there are GPUs; under the CPU's everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.launch import launch

WATCHED = f"{Path(__file__).with_name('watched.py')}:fit"
DEVICES = torch.cuda.device_count()
GPU_STRATEGIES = ["deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_3"]
TOPICS = {"overfitting", "fairness", "adversarial", "drift"}


@pytest.fixture(scope="module")
def on_cpu() -> dict[str, list[Any]]:
    said: dict[str, list[Any]] = launch(WATCHED, world=1, accelerator="cpu", strategy="deepspeed_cpu_stage_3")[0].value
    return said


def test_four_safeguards_judge_under_partitioned_weights(on_cpu: dict[str, list[Any]]) -> None:
    assert on_cpu.keys() == TOPICS
    assert {outcome for outcome, *_ in on_cpu.values()} <= {"PASS", "INCONCLUSIVE"}, on_cpu
    assert on_cpu["fairness"][2] == 57


@pytest.mark.gpu
@pytest.mark.skipif(DEVICES < 1, reason="needs one CUDA device; this machine has none")
@pytest.mark.parametrize("strategy", GPU_STRATEGIES)
def test_one_gpu_says_what_the_cpu_says(on_cpu: dict[str, list[Any]], strategy: str) -> None:
    same(launch(WATCHED, world=1, accelerator="gpu", strategy=strategy)[0].value, on_cpu)


@pytest.mark.multigpu
@pytest.mark.skipif(DEVICES < 2, reason=f"needs two CUDA devices; this machine has {DEVICES}")
@pytest.mark.parametrize("strategy", GPU_STRATEGIES)
def test_two_gpus_agree_and_count_every_row_once(on_cpu: dict[str, list[Any]], strategy: str) -> None:
    first, second = launch(WATCHED, world=2, accelerator="gpu", strategy=strategy)
    assert first.value == second.value
    assert {topic: said[2] for topic, said in first.value.items()} == {topic: said[2] for topic, said in on_cpu.items()}
    assert "ERROR" not in {outcome for outcome, *_ in first.value.values()}


def same(found: dict[str, list[Any]], expected: dict[str, list[Any]]) -> None:
    """Outcomes and numbers of rows are equal; values differ by what two devices round differently."""
    assert found.keys() == expected.keys()
    for topic, (outcome, value, n, _) in found.items():
        assert (outcome, n) == (expected[topic][0], expected[topic][2]), topic
        assert value == pytest.approx(expected[topic][1], abs=0.05), topic
