"""The strategies on real processes, held against DDP and against Lightning's single device."""

from __future__ import annotations

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from jsonargparse import ArgumentParser
from pytorch_lightning.accelerators import CUDAAccelerator
from pytorch_lightning.strategies import DeepSpeedStrategy

from safeguards.core.errors import ConfigurationError
from safeguards.deepspeed import DeepSpeedCPUStrategy, VerifiedDeepSpeedStrategy, strategy
from tests.helpers.launch import RankResult, launch, run

ZERO = Path(__file__).with_name("zero.py")
CONF = [*ZERO.parents[2].glob("conf/deepspeed/*.yaml"), ZERO.parents[2] / "conf" / "strategy" / "cpu2.yaml"]
NAMES = [f"deepspeed_cpu_stage_{stage}" for stage in (1, 2, 3)]
SCRIPT = f"""
import json
import os
import sys
sys.path.insert(0, {str(ZERO.parent)!r})
import zero

class Fail(zero.import_module("pytorch_lightning").Callback):
    def on_train_batch_start(self, trainer, *_):
        if sys.argv[1:] == [str(trainer.global_rank)] and trainer.global_step == 2:
            raise ValueError("the cause")

trainer = zero.import_module("pytorch_lightning").Trainer(
    accelerator="cpu", devices=2, strategy="deepspeed_cpu_stage_2", max_steps=4, logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[Fail()],
)
trainer.fit(zero.net(), zero.loader())
os.write(1, b"ended %d of %d\\n" % (trainer.global_rank, trainer.world_size))
os.write(1, json.dumps(zero.known()).encode() + b"\\n")
"""


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


@pytest.fixture(scope="module")
def pair(builds: Path) -> list[dict[str, Any]]:
    files = [str(file) for file in CONF]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_EXTENSIONS_DIR", str(builds))
        return [result.value for result in launch(f"{ZERO}:everything", world=2, files=files)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    value: dict[str, Any] = launch(f"{ZERO}:alone", world=1)[0].value
    return value


def largest_difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    assert first.keys() == second.keys()
    pairs = [(torch.tensor(first[name]), torch.tensor(second[name])) for name in first]
    return max(float((a - b).abs().max()) for a, b in pairs)


def without_buffers(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in weights.items() if name.endswith(("weight", "bias"))}


@pytest.mark.parametrize("name", [*NAMES, "deepspeed_cpu_stage_3_offload"])
def test_every_stage_trains_the_weights_of_ddp(pair: list[dict[str, Any]], name: str) -> None:
    expected, found = pair[0]["trained"]["ddp"], pair[0]["trained"][name]
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-6)
    assert largest_difference(found["weights"], expected["weights"]) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_whole_and_equal_on_all_ranks(pair: list[dict[str, Any]], name: str) -> None:
    first, second = (rank["trained"][name] for rank in pair)
    assert without_buffers(first["weights"]) == without_buffers(second["weights"])
    assert first["weights"].keys() == pair[0]["trained"]["ddp"]["weights"].keys()
    assert [first["partitioned"], second["partitioned"]] == [name.endswith("3")] * 2


def test_each_process_has_a_device_of_its_own_number(pair: list[dict[str, Any]]) -> None:
    assert [rank["trained"][NAMES[0]]["device"] for rank in pair] == ["cpu:0", "cpu:1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_resumed_from_its_checkpoint_ends_where_the_whole_run_ends(pair: list[dict[str, Any]], name: str) -> None:
    for rank in pair:
        whole = rank["trained"][name]["weights"]
        assert without_buffers(rank["resumed"][name]) == without_buffers(whole)
    assert pair[0]["resumed"][name] == pair[0]["trained"][name]["weights"]


def test_reading_the_weights_between_epochs_changes_no_training(pair: list[dict[str, Any]]) -> None:
    for rank in pair:
        assert rank["read"]["losses"] == rank["trained"]["deepspeed_cpu_stage_3"]["losses"]
        assert rank["read"]["seen"][-1] == rank["trained"]["deepspeed_cpu_stage_3"]["weights"]
        assert rank["read"]["seen"][0] != rank["read"]["seen"][1]


def test_the_part_that_a_rank_holds_tells_weights_apart(pair: list[dict[str, Any]]) -> None:
    assert [len(set(rank["read"]["digests"])) for rank in pair] == [2, 2]


@pytest.mark.parametrize(
    ("file", "stage", "offload"),
    [
        ("zero1.yaml", 1, False),
        ("zero2.yaml", 2, False),
        ("zero3.yaml", 3, False),
        ("zero3_offload.yaml", 3, True),
        ("cpu2.yaml", 2, False),
    ],
)
def test_each_file_of_conf_runs_as_it_says(pair: list[dict[str, Any]], file: str, stage: int, offload: bool) -> None:
    assert {path.name for path in CONF} == pair[0]["configured"].keys()
    for rank in pair:
        found = rank["configured"][file]
        assert found["kind"] == "DeepSpeedCPUStrategy"
        assert (found["zero"]["stage"], bool(found["zero"]["offload_param"])) == (stage, offload)
        assert found["zero"]["reduce_bucket_size"] == 20_000_000
        assert found["timeout_seconds"] == 300
        assert (found["world"], found["batches"]) == (2, 2)


def test_stage_3_keeps_no_weight_whole_unless_the_user_says_so() -> None:
    zero = DeepSpeedCPUStrategy(stage=3).config["zero_optimization"]
    assert zero["stage3_param_persistence_threshold"] == 0
    own = DeepSpeedCPUStrategy(stage=3, config={"zero_optimization": {"stage": 3}})
    assert own.config["zero_optimization"] == {"stage": 3}


@pytest.mark.parametrize("file", [path for path in CONF if path.name != "cpu2.yaml"], ids=lambda path: path.stem)
def test_one_line_of_each_file_turns_it_to_lightnings_own_strategy_checked(file: Path, tmp_path: Path) -> None:
    before, line, after = re.split(r"^(    class_path: .*)$", file.read_text(), flags=re.MULTILINE)
    for_gpus = tmp_path / file.name
    for_gpus.write_text(before + "    class_path: " + line.partition("GPUs: ")[2] + after)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(DeepSpeedStrategy, "trainer.strategy")
    parser.add_argument("--trainer.accelerator", type=str)
    parser.add_argument("--trainer.devices", type=int)
    built = parser.instantiate(parser.parse_path(for_gpus)).trainer.strategy
    assert type(built) is VerifiedDeepSpeedStrategy
    assert not built.resume_unverified
    assert built.config["zero_optimization"]["stage"] == int(file.stem[4])
    assert built._timeout == timedelta(minutes=5)


@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning.pytorch"])
def test_one_process_in_both_packages_trains_the_weights_of_no_strategy(alone: dict[str, Any], package: str) -> None:
    assert alone[package]["losses"] == pytest.approx(alone["plain"]["losses"], rel=1e-6)
    assert largest_difference(alone[package]["weights"], alone["plain"]["weights"]) < 1e-6
    name = {"pytorch_lightning": "DeepSpeedCPUStrategy", "lightning.pytorch": "LightningDeepSpeedCPUStrategy"}[package]
    assert alone[package]["kind"] == f"safeguards.deepspeed.{name}"


@pytest.fixture(scope="module")
def scripts(builds: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RankResult]:
    """The same file run as a module that ends well, and as a script whose second process fails, at the same time."""
    place = tmp_path_factory.mktemp("scripts")
    (place / "job.py").write_text(SCRIPT)
    commands = {"sound": ["-m", "job"], "failing": ["job.py", "1"]}

    def job(arguments: list[str]) -> RankResult:
        return run([sys.executable, *arguments], env={"TORCH_EXTENSIONS_DIR": str(builds)}, cwd=place, check=False)

    with ThreadPoolExecutor() as pool:
        return dict(zip(commands, pool.map(job, commands.values()), strict=True))


def test_a_module_that_starts_its_own_processes_ends_clean(scripts: dict[str, RankResult]) -> None:
    result = scripts["sound"]
    assert result.returncode == 0, result.stderr
    assert sorted(line for line in result.stdout.splitlines() if "ended" in line) == ["ended 0 of 2", "ended 1 of 2"]
    assert not [word for word in ("Warning", "WARNING", "No CUDA", "ld:") if word in result.stdout + result.stderr]


def told(script: RankResult) -> list[dict[str, Any]]:
    """What its processes know after training: unlike those of `pair` they have imported DeepSpeed themselves."""
    return [json.loads(line) for line in script.stdout.splitlines() if line.startswith("{")]


def test_nothing_is_compiled(pair: list[dict[str, Any]], scripts: dict[str, RankResult], builds: Path) -> None:
    """The compiler is not even asked what it could compile: the table of that has one entry, which is given."""
    asked = [one["compatible_ops"] for one in (*pair, *told(scripts["sound"]))]
    assert asked == [{"deepspeed_shm_comm": False}] * 4
    assert list(builds.iterdir()) == []


def test_mlflow_is_not_loaded_for_an_autotuner_that_nobody_runs(
    pair: list[dict[str, Any]], scripts: dict[str, RankResult]
) -> None:
    assert [one["loaded_mlflow"] for one in (*pair, *told(scripts["sound"]))] == [False] * 4


def test_a_failing_process_ends_the_other(scripts: dict[str, RankResult]) -> None:
    result = scripts["failing"]
    assert not result.timed_out
    assert result.returncode != 0
    assert "ValueError: the cause" in result.stderr
    assert "ended" not in result.stdout


@pytest.mark.parametrize(("given", "expected"), [(7, 7.0), (timedelta(minutes=2), 120.0)])
def test_timeout_is_seconds_or_a_timedelta(given: Any, expected: float) -> None:
    assert strategy._as_timedelta(given).total_seconds() == expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"stage": 4}, "stage=4.*expected 1, 2 or 3"),
        ({"stage": True}, "stage=True.*expected 1, 2 or 3"),
        ({"timeout": 0}, "timeout=0.*more than 0 seconds"),
        ({"timeout": float("nan")}, "timeout=nan.*more than 0 seconds"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as raised:
        DeepSpeedCPUStrategy(**arguments)
    assert "\n" not in str(raised.value)


def test_without_deepspeed_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    with pytest.raises(ConfigurationError, match="pip install deepspeed"):
        DeepSpeedCPUStrategy()
    assert "DS_ACCELERATOR" not in os.environ


def test_where_deepspeed_is_on_a_gpu_already_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import deepspeed

    monkeypatch.setattr(deepspeed.accelerator, "get_accelerator", lambda: Mock(device_name=lambda: "cuda"))
    with pytest.raises(ConfigurationError, match="on cuda in this process; start it with DS_ACCELERATOR=cpu"):
        DeepSpeedCPUStrategy()


def test_a_trainer_on_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"on CUDAAccelerator: write Trainer\(accelerator='cpu'\)"):
        DeepSpeedCPUStrategy(accelerator=CUDAAccelerator()).setup_environment()


@pytest.mark.parametrize("installed", [["pytorch_lightning"], ["lightning.pytorch"]])
def test_one_installed_package_is_enough(monkeypatch: pytest.MonkeyPatch, installed: list[str]) -> None:
    monkeypatch.setattr(strategy, "installed_namespaces", lambda: installed)
    found = strategy._strategies()
    assert list(found) == installed
    assert issubclass(found[installed[0]], strategy._strategies_of(installed[0]).DeepSpeedStrategy)


def test_names_are_registered_in_both_packages() -> None:
    for package, kind in strategy.STRATEGIES.items():
        registry = strategy._strategies_of(package).StrategyRegistry
        assert {name for name in registry if name.startswith("deepspeed_cpu")} == {*NAMES, f"{NAMES[2]}_offload"}
        assert all(registry[name]["strategy"] is kind for name in NAMES)
        verified = [registry[f"deepspeed_verified_stage_{stage}"] for stage in (1, 2, 3)]
        assert {one["strategy"] for one in verified} == {strategy.VERIFIED[package]}
        assert [one["init_params"]["stage"] for one in verified] == [1, 2, 3]
        assert [registry[name]["init_params"] for name in NAMES] == [{"stage": 1}, {"stage": 2}, {"stage": 3}]
        offload = {"offload_optimizer": True, "offload_parameters": True}
        assert registry[f"{NAMES[2]}_offload"]["init_params"] == {"stage": 3, **offload}
