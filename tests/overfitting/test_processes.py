"""Two processes, under DDP and under ZeRO, against one: the same rows, numbers and weights at the end."""

from __future__ import annotations

import errno
import os
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from safeguards import Limit, OverfittingGuard, Verdict, verdicts
from tests.helpers.launch import launch
from tests.overfitting.nets import FIELDS, Logs, Net, rows, trainer

LIMITS = {"generalization_gap": Limit(at_most=5)}
VALIDATION_LOSSES = (3.0, 1.0, 2.0, 5.0)
BEST = 1
FULL = (("ddp", 0), ("deepspeed_cpu_stage_2", 0), ("deepspeed_cpu_stage_3", 1))
STRATEGIES = ("ddp", "deepspeed_cpu_stage_1", "deepspeed_cpu_stage_2", "deepspeed_cpu_stage_3")


class Recorded(Dataset):
    """Training rows that note which of them are read, noisy by the global generator; one may be unreadable."""

    def __init__(self, broken_on_rank: int | None = None, count: int = 101) -> None:
        self.data, self.read, self.broken = rows(count), list[int](), broken_on_rank == rank()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        if self.broken:
            raise OSError("row is unreadable")
        inputs, target = self.data[index]
        return inputs + 0.1 * torch.randn(4), target


class Data(pl.LightningDataModule):
    def __init__(self, training: Dataset) -> None:
        super().__init__()
        self.training = training

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.training, 8, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(rows(57, seed=1), 8)


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def plain(found: list[Verdict]) -> list[dict[str, Any]]:
    return [verdict.to_dict() | {"cost": None} for verdict in found]


def strategy_options(strategy: str, world: int) -> dict[str, Any]:
    import_module("safeguards.deepspeed")
    return {"devices": world, "strategy": strategy if world > 1 else "auto"}


def measure(root: Path, strategy: str, world: int, **options: int) -> dict[str, Any]:
    """Judge untrained weights, the same on all processes, with samples smaller than both sets."""
    data = Recorded(**options)
    pl.seed_everything(0, verbose=False)
    runner = trainer(
        root, OverfittingGuard(fields=FIELDS, samples=33, limits=LIMITS), **strategy_options(strategy, world)
    )
    runner.validate(Net(), datamodule=Data(data), verbose=False)
    return {"verdicts": plain(verdicts(runner)), "read": data.read}


class ByRank(Logs):
    """Rank r logs 4 + r."""

    synced = True

    def log_train(self, value: float) -> None:
        self.log("train_loss", value, on_epoch=True, sync_dist=True)

    def log_validation(self, value: float) -> None:
        self.log("val_loss", 4.0 + self.global_rank, sync_dist=self.synced)


class Scripted(ByRank):
    """Goes on training, with validation losses known in advance; keeps its weights at the end of each validation."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.1)
        self.weights: list[list[float]] = []

    def log_validation(self, value: float) -> None:
        self.log("val_loss", VALIDATION_LOSSES[self.current_epoch], sync_dist=True)

    def on_validation_end(self) -> None:
        self.weights.append(flat(self))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def flat(module: torch.nn.Module) -> list[float]:
    """All ranks: every weight and buffer, gathered where ZeRO-3 has spread it."""
    from safeguards.deepspeed import full_state_dict

    return torch.cat([value.double().flatten() for value in full_state_dict(module).values()]).tolist()


def train(root: Path, module: pl.LightningModule, strategy: str, world: int, **options: Any) -> pl.Trainer:
    guard = OverfittingGuard(train="train_loss", validation="val_loss", limits=LIMITS, **options)
    runner = trainer(root, guard, **strategy_options(strategy, world), max_epochs=4, num_sanity_val_steps=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner.fit(module, DataLoader(rows(64), 8), DataLoader(rows(64), 8))
    return runner


def bring_back(root: Path, strategy: str, world: int) -> dict[str, Any]:
    """Train with the best epoch in the middle; weights at each validation, and when fit has returned."""
    pl.seed_everything(0, verbose=False)
    module = Scripted()
    runner = train(root, module, strategy, world, restore_best=True)
    files = [path.name for path in sorted(root.glob("safeguards/*/best-*"))]
    found = {"verdicts": plain(verdicts(runner)), "seen": module.weights, "end": flat(module), "files": files}
    return found | {"off_by": master_copy_is_off_by(root, runner, module) if "deepspeed" in strategy else 0.0}


def master_copy_is_off_by(root: Path, runner: pl.Trainer, module: pl.LightningModule) -> float:
    """Largest difference between the weights and the exact copy that a checkpoint written now would be resumed from."""
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    from safeguards.deepspeed import full_state_dict

    runner.save_checkpoint(root / "after")
    weights = full_state_dict(module)
    master = get_fp32_state_dict_from_zero_checkpoint(root / "after", "checkpoint")
    return max(float((master[name] - weights[name]).abs().max()) for name, _ in module.named_parameters())


def log_by_rank(root: Path, strategy: str, world: int, synced: bool) -> list[dict[str, Any]]:
    module = ByRank()
    module.synced = synced
    return plain(verdicts(train(root, module, strategy, world)))


def fill_disk(root: Path, strategy: str, world: int, full: int) -> dict[str, Any]:
    """In the second of three epochs nothing can be written on one rank: no weights, script of DeepSpeed's or name."""
    from deepspeed.runtime import engine

    writers = [(torch, "save"), (engine, "copyfile"), (Path, "write_text")]
    disk = pytest.MonkeyPatch()

    class Fills(pl.Callback):
        def on_validation_epoch_start(self, trainer: pl.Trainer, _: Any) -> None:
            if trainer.current_epoch == 1 and trainer.global_rank == full:
                for place, name in writers:
                    disk.setattr(place, name, no_space)

        def on_validation_end(self, trainer: pl.Trainer, _: Any) -> None:
            disk.undo()

    pl.seed_everything(0, verbose=False)
    guard = OverfittingGuard(fields=FIELDS, limits=LIMITS, restore_best=True)
    runner = trainer(root, guard, Fills(), **strategy_options(strategy, world), max_epochs=3, num_sanity_val_steps=0)
    runner.fit(Net(), DataLoader(rows(64), 8), DataLoader(rows(64, seed=1), 8))
    return {"verdicts": plain(verdicts(runner)), "files": [path.name for path in root.glob("safeguards/*/best-*")]}


def no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def on_each_process() -> dict[str, Any]:
    world, root = int(os.environ["WORLD_SIZE"]), Path.cwd()
    found: dict[str, Any] = {
        "broken": measure(root, "ddp", world, broken_on_rank=1),
        "differing": measure(root, "ddp", world, count=101 - rank()),
        "synced": log_by_rank(root, "ddp", world, synced=True),
        "unsynced": log_by_rank(root, "ddp", world, synced=False),
    }
    for strategy, full in FULL:
        found[f"full {strategy}"] = fill_disk(root / f"full {strategy}", strategy, world, full)
    for strategy in STRATEGIES:
        found[strategy] = {
            "measured": measure(root, strategy, world),
            "best": bring_back(root / strategy, strategy, world),
        }
    return found


@cache
def processes() -> list[dict[str, Any]]:
    return [result.value for result in launch(f"{__file__}:on_each_process", 2)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_judge_the_same_rows_to_the_same_numbers_as_one(tmp_path: Path, strategy: str) -> None:
    first, second = (found[strategy]["measured"] for found in processes())
    alone = measure(tmp_path, strategy, 1)
    (verdict,), (expected,) = first["verdicts"], alone["verdicts"]
    assert first["verdicts"] == second["verdicts"]
    assert set(first["read"] + second["read"]) == set(alone["read"])
    assert len(set(alone["read"])) == expected["details"]["train_rows"] == 33
    assert (verdict["n"], verdict["outcome"]) == (expected["n"], expected["outcome"]) == (66, "PASS")
    for name in ("train_loss", "validation_loss"):
        assert verdict["details"][name] == pytest.approx(expected["details"][name], rel=1e-6)
    assert verdict["interval"] == pytest.approx(expected["interval"], rel=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_best_weights_are_back_when_fit_returns(tmp_path: Path, strategy: str) -> None:
    first, second = (found[strategy]["best"] for found in processes())
    *judged, end = first["verdicts"]
    assert len(judged) == len(VALIDATION_LOSSES), judged
    assert second["verdicts"][-1] == end
    assert end["outcome"] == "NOT_EVALUATED"
    assert "were judged earlier, at train_epoch epoch 1 step" in end["reason"]
    assert first["seen"][BEST] not in [first["seen"][epoch] for epoch in (0, 2, 3)]
    assert first["end"] == first["seen"][BEST]
    # Without DDP to broadcast them buffers are each rank's own, and ZeRO-1 and 2 keep those of rank 0.
    assert second["end"] in (second["seen"][BEST], first["seen"][BEST])
    assert first["off_by"] == 0
    best = judged[-1]["details"]["best_weights"]
    assert (best["loss"], best["epoch"]) == (VALIDATION_LOSSES[BEST], BEST)
    assert first["files"] == [best["file"]]


@pytest.mark.parametrize(("strategy", "full"), FULL)
def test_a_full_disk_on_one_process_is_an_error_on_all_and_training_goes_on(strategy: str, full: int) -> None:
    first, second = (found[f"full {strategy}"] for found in processes())
    assert first["verdicts"] == second["verdicts"]
    before, error, after = first["verdicts"]
    assert [v["outcome"] for v in (before, error, after)] == ["PASS", "ERROR", "PASS"]
    assert f"rank {full}: cannot keep the best weights as best-overfitting-8 (is there room" in error["reason"]
    assert "No space left on device" in error["reason"]
    assert first["files"] == [after["details"]["best_weights"]["file"]] == ["best-overfitting-12"]


def test_a_row_that_one_process_cannot_read_is_an_error_on_all() -> None:
    first, second = (found["broken"]["verdicts"] for found in processes())
    assert first == second
    assert first[0]["outcome"] == "ERROR"
    assert "rank 1: OSError: row is unreadable" in first[0]["reason"]


def test_training_sets_that_differ_between_processes_are_an_error_on_all() -> None:
    first, second = (found["differing"]["verdicts"] for found in processes())
    assert first == second
    assert first[0]["outcome"] == "ERROR"
    assert "another size on another process" in first[0]["reason"]


def test_metrics_that_differ_between_processes_are_an_error_on_all() -> None:
    for first, second in [[found[name] for found in processes()] for name in ("synced", "unsynced")]:
        assert first == second
    synced, unsynced = processes()[0]["synced"], processes()[0]["unsynced"]
    assert [v["value"] for v in synced] == pytest.approx([4.5 - 1.5 - epoch for epoch in range(4)])
    assert [v["outcome"] for v in unsynced] == ["ERROR"] * 4
    assert "'val_loss' is unsynced, the processes hold 4, 5: log it with sync_dist=True" in unsynced[0]["reason"]
