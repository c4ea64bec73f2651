"""Validation rows that are trained on: a gap between rows and themselves says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from safeguards import Limit, Outcome
from tests.overfitting.nets import Net, fit, rows
from tests.overfitting.test_measured import guard


@pytest.mark.parametrize("options", [{}, {"overfit_batches": 3}])
def test_a_gap_between_rows_and_themselves_passes_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    """A debugging run on one set: the gap is 0 whatever the model does, and says so instead of a PASS."""
    data = rows(64)
    (found,) = fit(
        tmp_path, guard(), train=DataLoader(data, 16, shuffle=True), validation=DataLoader(data, 16), **options
    )
    seen = 48 if options else 64
    assert (found.outcome, found.value) == (Outcome.INCONCLUSIVE, pytest.approx(0, abs=1e-9))
    assert f"training draws {seen} of the {seen} validation rows too" in found.reason


def test_rows_in_an_order_of_their_own_are_those_of_their_set(tmp_path: Path) -> None:
    """One shuffled loader on both sides."""
    both = DataLoader(rows(64), 16, shuffle=True)
    (found,) = fit(tmp_path, guard(), train=both, validation=both)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "training draws 64 of the 64 validation rows too" in found.reason


def test_only_batches_of_their_own_make_a_gap_under_overfit_batches(tmp_path: Path) -> None:
    """Validation keeps its own set then: the gap is as good as ever, over the rows that the run is cut to."""
    (found,) = fit(tmp_path, guard(), validation=DataLoader(rows(64, seed=1), 16), overfit_batches=3)
    assert (found.outcome, found.details["train_rows"], found.details["validation_rows"]) == (Outcome.PASS, 48, 48)


def test_one_row_on_both_sides_is_counted_through_subsets(tmp_path: Path) -> None:
    data = rows(128)
    train, validation = Subset(Subset(data, range(127, -1, -1)), range(64)), Subset(data, range(1, 65))
    (found,) = fit(tmp_path, guard(), train=DataLoader(train, 16), validation=DataLoader(validation, 16))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "training draws 1 of the 64 validation rows too" in found.reason


def test_a_gap_that_is_too_wide_with_a_shared_row_is_wider_without_it(tmp_path: Path) -> None:
    """Classes are turned round in what only validation has: the FAIL stands, and training is stopped by it."""
    inputs, classes = rows(128).tensors
    data = TensorDataset(inputs, torch.cat([classes[:64], 1 - classes[64:]]))
    train, validation = Subset(data, range(64)), Subset(data, range(63, 127))
    found = fit(
        tmp_path,
        guard(limits={"generalization_gap": Limit(at_most=0.1)}, reaction="stop"),
        train=DataLoader(train, 16, shuffle=True),
        validation=DataLoader(validation, 16),
        module=Net(learning_rate=0.5),
        max_epochs=20,
    )
    assert [one.outcome for one in found if one.outcome.admits] == []
    assert found[-1].outcome is Outcome.FAIL
    assert len(found) < 20
    assert "the whole interval is outside; training draws 1 of the 64 validation rows too" in found[-1].reason
