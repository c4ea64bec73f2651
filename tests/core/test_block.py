"""Rows of several batches that are shown together: the same rows and numbers, and no trace, as if each came alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from safeguards import BatchFields, Outcome, Rows, Scene, verdicts
from safeguards.core import block
from safeguards.core.block import Block
from tests.core.test_rows import Given, rows
from tests.helpers.toys import PAIR, Accuracy, Net, expected_accuracy, loader, trainer
from tests.helpers.toys import rows as data

BY_FUNCTION = BatchFields(inputs=0, target=lambda batch: batch[1] + 0 * draw())


def draw() -> int:
    """Draws from every global generator."""
    return int(torch.rand(()) + np.random.rand() + random.random())


class Gives(Net):
    """The step gives its logits; what random generators are at is noted after every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[Any] = []

    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> Any:
        return {"logits": self(batch[0])}

    def on_validation_batch_end(self, *_: Any) -> None:
        self.states.append((torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()))


class GivesLoss(Gives):
    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> Any:
        return super().validation_step(batch, index)["logits"].sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 0 * draw()


class Grouped(Accuracy):
    """Takes rows in blocks, and notes how many came together."""

    reads_inputs = False
    in_blocks = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sizes: list[int] = []

    def observe(self, seen: dict[str, Any], rows: Rows, scene: Scene) -> None:
        draw()
        assert rows.inputs is None
        assert not rows.logits().is_inference()
        assert rows.target is not None
        assert not rows.target.is_inference()
        self._sizes.append(rows.n)
        super().observe(seen, rows, scene)


def validated(root: Path, module: Net, *guards: Accuracy, **options: Any) -> list[Any]:
    torch.manual_seed(0)
    job = trainer(root, *guards, **options)
    job.validate(module, loader(), verbose=False)
    return verdicts(job)


@pytest.mark.parametrize("inference", [True, False])
def test_rows_come_together_in_their_order(tmp_path: Path, inference: bool) -> None:
    module, guard = Gives(), Grouped()
    (found,) = validated(tmp_path, module, guard, inference_mode=inference)
    assert guard._sizes == [57]
    assert (found.value, found.n, found.details["ids"]) == (expected_accuracy(module, data()), 57, list(range(57)))


def test_a_full_block_is_shown_before_the_next_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "ROWS_PER_BLOCK", 20)
    module, guard, other = Gives(), Grouped(), Accuracy(name="other")
    found, alone = validated(tmp_path, module, guard, other)
    assert guard._sizes == [32, 25]
    assert (found.value, found.details["ids"]) == (alone.value, alone.details["ids"])
    monkeypatch.setattr(block, "NUMBERS_PER_BLOCK", 1)
    wide = Grouped()
    validated(tmp_path, module, wide)
    assert wide._sizes == [16, 16, 16, 9]


@pytest.mark.parametrize(
    ("kind", "fields"), [(Gives, PAIR), (Gives, BY_FUNCTION), (GivesLoss, PAIR)], ids=["keys", "function", "forward"]
)
def test_neither_a_batch_nor_a_block_leaves_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Gives], fields: BatchFields
) -> None:
    monkeypatch.setattr(block, "ROWS_PER_BLOCK", 16)
    before, after = (kind() for _ in range(2))
    for module, guards in ((before, ()), (after, (Grouped(fields=fields),))):
        random.seed(0)
        np.random.seed(0)
        validated(tmp_path, module, *guards)
    assert len(before.states) == 4
    assert before.states == after.states


def test_what_changes_a_batch_or_its_outputs_later_does_not_change_what_is_judged(tmp_path: Path) -> None:
    class Reuses(Gives):
        def on_validation_batch_end(self, outputs: Any, batch: Any, *_: Any) -> None:
            outputs["logits"].neg_()  # of 57 rows never as many right as before
            batch[1].fill_(7)

    module = Reuses()
    (found,) = validated(tmp_path, module, Grouped())
    assert found.value == expected_accuracy(module, data())


def test_a_failure_in_a_block_is_an_error_of_that_safeguard_alone(tmp_path: Path) -> None:
    broken, sound = validated(tmp_path, Gives(), Grouped(fail_on=0), Grouped(name="sound"))
    assert (broken.outcome, sound.outcome) == (Outcome.ERROR, Outcome.PASS)
    assert "told to fail" in broken.reason


def test_groups_of_a_block_are_those_of_its_batches_and_fail_only_when_asked_for() -> None:
    whole = Block()
    for part in (rows(), rows(batch={"sex": ["x", "y", "x", "y"]})):
        whole.add(part.without_inputs())
    together = whole.take()
    assert together is not None
    assert together.groups == {"sex": ["m", "f", "f", "m", "x", "y", "x", "y"]}
    assert (together.n, together.logits().tolist()) == (8, [5.0, 6.0, 7.0, 8.0] * 2)
    assert whole.take() is None


@pytest.mark.parametrize(
    "other",
    [
        {"predict": Given(torch.zeros(4, 2), True)},
        {"predict": Given(torch.zeros(4, dtype=torch.float64), True)},
        {"batch": {"y": [0.5, 1.0, 0.0, 1.0]}},
        {"fields": {"row_id": "id"}},
        {"fields": {"target": None}},
    ],
)
def test_rows_of_another_kind_wait_for_the_next_block(other: dict[str, Any]) -> None:
    waiting = Block()
    assert waiting.fits(rows(**other))
    waiting.add(rows())
    assert waiting.fits(rows())
    assert not waiting.fits(rows(**other))
