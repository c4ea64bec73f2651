"""How the places of the training rows are dealt out to processes, and how their rows come together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from safeguards import DriftReport
from safeguards.drift.training import _in_order, _shares
from tests.drift.test_guard import FIELDS, LIMITS, Net, fitted, rows, standings


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_rows_of_all_processes_come_in_the_order_of_one(world: int) -> None:
    rows = torch.arange(10.0).reshape(5, 2)
    assert torch.equal(_in_order([rows[rank::world] for rank in range(world)]), rows)


def test_a_process_without_rows_left_takes_the_first_once_more() -> None:
    chosen = [10, 11, 12, 13, 14]
    assert list(_shares(chosen[0::2], chosen, 2, batch=2)) == [[10, 12], [14]]
    assert list(_shares(chosen[1::2], chosen, 2, batch=2)) == [[11, 13], [10]]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [1, 2, 64])
def test_every_process_makes_equally_many_forwards(world: int, batch: int) -> None:
    chosen = list(range(5))
    each = [list(_shares(chosen[rank::world], chosen, world, batch)) for rank in range(world)]
    assert len({len(shares) for shares in each}) == 1
    assert all(all(shares) for shares in each)


def test_training_rows_come_as_the_step_gets_them(tmp_path: Path) -> None:
    """A hook that scales every batch on its way to the device moves both sides alike."""

    class Scales(Net):
        def on_before_batch_transfer(self, batch: Any, _: int) -> Any:
            return [5 * batch[0] + 1, batch[1]]

    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False)
    assert set(standings(fitted(tmp_path, guard, rows(0), rows(0), Scales(4))).values()) == {"stable"}
