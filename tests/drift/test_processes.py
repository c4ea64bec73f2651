"""One to three processes give one verdict, inputs, outputs of a submodule and predictions alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

from safeguards import DriftReport
from tests.drift.test_guard import FIELDS, LIMITS, Deep, last, rows, trainer
from tests.helpers.launch import launch

WORLD = int(os.environ.get("WORLD_SIZE", "1"))  # Lightning takes it away after the first fit


def judged(names: list[str | None]) -> list[dict[str, Any]]:
    """On every process: 57 rows, a sample that leaves some out; with two, the last batch of one holds only a copy.

    Of 49 training rows in batches of 8 the first process alone has a last one, with two processes and with three.
    One fit for each of these submodules, whose outputs are compared.
    """
    return [judged_once(name) for name in names]


def judged_once(outputs_of: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {"reference": "train", "fields": FIELDS, "limits": LIMITS, "report": False}
    guard = DriftReport(sample=49, outputs_of=outputs_of, **options)
    run = trainer(Path.cwd(), guard, **({"strategy": "ddp", "devices": WORLD} if WORLD > 1 else {}))
    train, validation = rows(0, n=61), rows(1, n=57, shift=3)
    run.fit(Deep(), DataLoader(train, batch_size=8), DataLoader(validation, batch_size=4))
    verdict = last(run).to_dict()
    return {key: verdict[key] for key in ("outcome", "value", "interval", "n", "reason", "details")}


def test_the_number_of_processes_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [None, "encoder", "head"]
    alone = judged(names)
    assert [(one["outcome"], one["n"]) for one in alone] == [("FAIL", 49)] * 3
    assert all(one["details"]["columns"]["feature 0"]["standing"] == "drifted" for one in alone)
    assert "drifted" in {alone[1]["details"]["columns"][f"encoder {i}"]["standing"] for i in range(5)}
    for world in (2, 3):
        for result in launch(f"{__file__}:judged", world=world, names=names):
            assert result.value == alone
