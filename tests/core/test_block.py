"""Rows of several batches that are shown together: the same rows and numbers, and no trace, as if each came alone."""

from __future__ import annotations

import random
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from safeguards import BatchFields, Outcome, Rows, Scene, verdicts
from safeguards.core import block
from safeguards.core.block import Block, Part
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


class GivesNone(GivesLoss):
    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> Any:
        return {"logits": None}


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
    ("kind", "fields"),
    [(Gives, PAIR), (Gives, BY_FUNCTION), (GivesLoss, PAIR), (GivesNone, PAIR)],
    ids=["keys", "function", "forward", "none"],
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


def test_parts_that_cannot_be_joined_are_an_error_of_those_who_take_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(parts: list[Part], inputs: Any) -> Part:
        raise MemoryError("no room to join")

    monkeypatch.setattr(block, "_together", short)
    found = validated(tmp_path, Gives(), Grouped(), Grouped(name="same"), Accuracy(name="sound"))
    assert [v.outcome for v in found] == [Outcome.ERROR, Outcome.ERROR, Outcome.PASS]
    assert "no room to join" in found[1].reason


class Counts(Grouped):
    """Single outputs are nothing to compare with classes."""

    def observe(self, seen: dict[str, Any], rows: Rows, scene: Scene) -> None:
        seen["counts"] += len(rows.logits())


class Taken(Grouped):
    """Notes the groups of its rows."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._groups: list[Any] = []

    def observe(self, seen: dict[str, Any], rows: Rows, scene: Scene) -> None:
        super().observe(seen, rows, scene)
        self._groups += rows.groups["place"]


@pytest.mark.parametrize("kind", [Gives, GivesLoss])
@pytest.mark.parametrize("column", [list, tuple, torch.tensor, np.array], ids=["list", "tuple", "tensor", "array"])
def test_groups_of_a_block_are_those_of_its_batches(tmp_path: Path, kind: type[Gives], column: Any) -> None:
    def place(batch: Any) -> Any:
        return column((batch[0][:, 0] > 0).long().tolist())

    module, fields = kind(), BatchFields(inputs=0, target=1, groups={"place": place})
    guards = Taken(fields=fields), Taken(fields=fields, name="same"), Grouped(fields=PAIR, name="other")
    found = validated(tmp_path, module, *guards)
    assert [guard._sizes for guard in guards[:2]] == [[16, 16, 16, 9] if column is np.array else [57]] * 2
    assert [v.value for v in found] == [expected_accuracy(module, data())] * 3
    assert guards[0]._groups == guards[1]._groups == (data().tensors[0][:, 0] > 0).long().tolist()


@pytest.mark.parametrize("kind", [Gives, GivesLoss])
def test_probabilities_are_checked_once_and_rows_in_doubt_are_counted_once(tmp_path: Path, kind: type[Gives]) -> None:
    class Certain(kind):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).softmax(1)

    class Half(kind):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[:, :1].sigmoid()

    module = Certain()
    (found,) = validated(tmp_path, module, Grouped(output="probabilities"))
    assert found.value == expected_accuracy(module, data())
    for n, outcome in ((28, Outcome.PASS), (30, Outcome.ERROR)):
        job = trainer(tmp_path, Counts())
        job.validate(Half(), loader(n), verbose=False)
        assert [v.outcome for v in verdicts(job)] == [outcome]


def test_probabilities_that_nobody_named_are_told_by_any_step_of_a_block(tmp_path: Path) -> None:
    class Odd(Gives):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs = super().forward(x).softmax(1)
            outputs[0] = 0 if len(x) == 9 else outputs[0]
            return outputs

    found = validated(tmp_path, Odd(), Grouped(), Accuracy(name="alone"))
    assert [v.outcome for v in found] == [Outcome.ERROR, Outcome.ERROR]
    assert all("look like probabilities" in v.reason for v in found)


def test_rows_in_doubt_are_counted_once_beside_one_who_takes_no_blocks(tmp_path: Path) -> None:
    class Half(Gives):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[:, :1].sigmoid()

    class Plain(Counts):
        in_blocks = False
        reads_inputs = True

        def observe(self, seen: dict[str, Any], rows: Rows, scene: Scene) -> None:
            seen["counts"] += len(rows.logits())

    job = trainer(tmp_path, Counts(), Plain(name="plain"))
    job.validate(Half(), loader(20), verbose=False)
    assert [v.outcome for v in verdicts(job)] == [Outcome.PASS, Outcome.PASS]


@pytest.mark.parametrize("own", [{3}, {1, 3}, {0}, {0, 2}])
def test_rows_in_doubt_are_counted_once_where_some_steps_give_no_logits(tmp_path: Path, own: set[int]) -> None:
    class Sometimes(Gives):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[:, :1].sigmoid()

        def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> Any:
            return {"logits": None if index in own else self(batch[0])}

    (found,) = validated(tmp_path, Sometimes(), Counts())
    assert found.outcome is Outcome.ERROR
    assert "all 57 single outputs lie in [0, 1]" in found.reason


def test_rows_in_doubt_that_wait_are_counted_where_a_later_step_is_read_by_itself(tmp_path: Path) -> None:
    class Half(Gives):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[:, :1].sigmoid()

    def place(batch: Any) -> Any:
        labels = batch[1].tolist()
        return labels if len(labels) == 16 else np.array(labels)

    for n, outcome in ((28, Outcome.PASS), (30, Outcome.ERROR)):
        job = trainer(tmp_path, Counts(fields=BatchFields(inputs=0, target=1, groups={"place": place})))
        job.validate(Half(), loader(n), verbose=False)
        assert [v.outcome for v in verdicts(job)] == [outcome]


def part(start: int = 0, fields: BatchFields = PAIR, **changes: Any) -> Part | None:
    batch = {0: torch.zeros(4, 3), 1: torch.arange(4), "sex": ["m", "f", "f", "m"]} | changes.pop("batch", {})
    return Part.of(batch, fields, start=start, n=4, outputs=changes.get("outputs", torch.ones(4, 2)))


BY_SEX = BatchFields(inputs=0, target=1, groups={"sex": "sex"})


@pytest.mark.parametrize(
    "other",
    [
        {"outputs": torch.zeros(4)},
        {"outputs": torch.zeros(4, 2, dtype=torch.float64)},
        {"batch": {1: torch.zeros(4)}},
        {"batch": {"sex": torch.zeros(4)}},
        {"start": 5},
    ],
)
def test_a_part_of_another_kind_or_from_elsewhere_waits_for_the_next_block(other: dict[str, Any]) -> None:
    waiting = Block(0)
    first, same, odd = part(fields=BY_SEX), part(4, BY_SEX), part(**{"start": 4, "fields": BY_SEX} | other)
    assert first is not None
    assert same is not None
    assert odd is not None
    assert waiting.fits(odd)
    waiting.add(first)
    assert waiting.fits(same)
    assert not waiting.fits(odd)
    waiting.add(same)
    joined = waiting.take()
    assert joined is not None
    assert (joined.start, joined.n, joined.steps, joined.outputs.shape) == (0, 8, [4, 4], (8, 2))
    assert joined.fields[1].tolist() == [0, 1, 2, 3] * 2
    assert joined.fields["sex"] == ["m", "f", "f", "m"] * 2
    assert waiting.take() is None


@pytest.mark.parametrize(
    "odd",
    [{"outputs": torch.zeros(3, 2)}, {"batch": {1: torch.zeros(3)}}, {"batch": {1: [[1]] * 4}}],
)
def test_what_is_no_column_with_all_rows_is_not_joined(odd: dict[str, Any]) -> None:
    assert part(**odd) is None


def test_a_part_keeps_no_batch_alive() -> None:
    pixels = torch.zeros(4, 3)
    gone = weakref.ref(pixels)
    kept = part(batch={0: pixels})
    del pixels
    assert gone() is None
    assert kept is not None
    target = part(fields=BatchFields(inputs=0, target=0))
    assert target is not None
    assert target.fields[0].shape == (4, 3), "inputs that are the target are kept as that"
