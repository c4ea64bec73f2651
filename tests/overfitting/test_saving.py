"""Weights that cannot be written leave nothing behind, and weights of which a process holds a part are not written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from safeguards.core.errors import NotApplicable, SafeguardError
from safeguards.core.ranks import Ranks
from safeguards.overfitting.saving import save
from tests.overfitting.nets import Net


def on(strategy: str) -> Any:
    """A trainer with a strategy of this name."""
    return SimpleNamespace(strategy=type(strategy, (), {})())


def test_a_write_that_breaks_off_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_: Any, path: Path) -> None:
        path.write_text("half of the weights")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(SafeguardError, match=r"cannot keep the best weights as best .*No space left on device"):
        save(on("SingleDeviceStrategy"), Net(), Ranks(), tmp_path / "run" / "best")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("strategy", ["FSDPStrategy", "ModelParallelStrategy"])
def test_a_strategy_that_holds_weights_in_parts_of_its_own_is_refused(tmp_path: Path, strategy: str) -> None:
    told = f"restore_best does not know {strategy}: it works on one process, DDP .*; use ModelCheckpoint there$"
    with pytest.raises(NotApplicable, match=told):
        save(on(strategy), Net(), Ranks(), tmp_path / "best")
    assert not list(tmp_path.iterdir())
