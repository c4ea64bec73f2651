"""Training rows are read once in a fit, and look the same at every look."""

from __future__ import annotations

from collections import UserDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from safeguards import BatchFields, Limit, OverfittingGuard, Scene
from safeguards.core.training_rows import read_batch
from safeguards.overfitting import kept, measured
from safeguards.overfitting.kept import KeptBatches
from safeguards.overfitting.measured import ROWS_READ_AGAIN, asked_again
from tests.overfitting.nets import FIELDS, Net, fit, rows

SPARING = 41
"""A seed of which the first two looks ask none of the rows that change."""
LIMITS = {"generalization_gap": Limit(at_most=5)}


class Counted(Dataset):
    """Rows with a name, noisy by the global generator, that count how often they are read."""

    def __init__(self) -> None:
        self.rows, self.read, self.name = rows(64), 0, "row"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        inputs, target = self.rows[index]
        return inputs + torch.randn(4), target, {"name": f"{self.name} {index}", "more": [inputs[:2], 1.5]}


class InPlace(Net):
    """Works on what it is given, with weights that stay."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0)
        self.body[1].momentum = 0.0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs.mul_(2))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_a_batch_is_read_once_as_the_loader_reads_it_and_handed_out_in_copies() -> None:
    loader, batches = DataLoader(Counted(), 8), KeptBatches()
    expected = read_batch(loader, [5, 3], seed=1)
    before = loader.dataset.read
    for _ in range(3):
        found = batches.read(loader, [5, 3], seed=1)
        assert same(found, expected)
        found[0].zero_()
        found[2]["name"].clear()
        found[2]["more"][0].zero_()
    once = loader.dataset.read - before
    batches.read(loader, [5], seed=1)
    assert loader.dataset.read - before > once
    other = DataLoader(Counted(), 8)
    batches.read(other, [5, 3], seed=1)
    assert other.dataset.read > 0
    batches.forget()
    read = other.dataset.read
    batches.read(other, [5, 3], seed=1)
    assert other.dataset.read > read


COLLATE: dict[str, Any] = {
    "large": default_collate,
    "long texts": lambda items: [item[2]["name"] * 1000 for item in items],
    "unknown": lambda items: UserDict({"x": default_collate(items)}),
    "sparse": lambda items: default_collate(items)[0].to_sparse(),
    "nested": lambda items: torch.nested.nested_tensor([item[0] for item in items]),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested")
@pytest.mark.parametrize(("kind", "collate"), COLLATE.items(), ids=COLLATE)
def test_what_is_large_or_not_known_to_be_copied_is_read_every_time(
    monkeypatch: pytest.MonkeyPatch, kind: str, collate: Any
) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", {"large": 50, "long texts": 5000}.get(kind, kept.MOST_BYTES))
    loader, batches = DataLoader(Counted(), 8, collate_fn=collate), KeptBatches()
    reads = []
    for _ in range(3):
        before = loader.dataset.read
        batches.read(loader, [5, 3], seed=1)
        reads.append(loader.dataset.read - before)
    assert len(set(reads)) == 1


def test_a_fit_reads_its_training_rows_once_and_the_next_one_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "ROWS_READ_AGAIN", 2)
    data, guard = Counted(), OverfittingGuard(fields=FIELDS, limits=LIMITS, samples=48)
    loader = DataLoader(data, 16)
    reads = []
    for epochs in (1, 3, 3):
        data.read = 0
        losses = [
            v.details["train_loss"] for v in fit(tmp_path, guard, module=InPlace, train=loader, max_epochs=epochs)
        ]
        reads.append(data.read - 64 * epochs)
        assert losses == pytest.approx([losses[0]] * epochs)
    two_rows_again = 3  # the first of them once more, because it draws
    assert reads == [reads[0], reads[0] + 2 * two_rows_again, reads[1]]
    assert reads[0] == 48 + 3


@pytest.mark.parametrize("what", ["nothing", "a label", "an input", "a name", "a row less"])
def test_a_set_that_has_changed_is_seen_by_some_of_its_rows(what: str) -> None:
    loader, batches = DataLoader(Counted(), 8), KeptBatches()
    assert not batches.has_changed(loader, [5, 3], seed=1)
    batches.read(loader, [2, 3, 5], seed=1)
    inputs, targets = loader.dataset.rows.tensors
    if what == "a label":
        targets[3] = 1 - targets[3]
    elif what == "an input":
        inputs[3] += 1e-3
    elif what == "a name":
        loader.dataset.name = "another"
    elif what == "a row less":
        loader.dataset.rows = TensorDataset(inputs[:3], targets[:3])
    assert batches.has_changed(loader, [5, 3, 40], seed=1) == (what != "nothing")
    assert batches.has_changed(loader, [2, 40], seed=1) == (what == "a name")
    batches.read(DataLoader(Counted(), 8), [3], seed=1)
    assert not batches.has_changed(loader, [5, 3], seed=1)


def padded(items: list[Any]) -> Any:
    """Rows as long as the longest beside them, as of texts."""
    return torch.nn.utils.rnn.pad_sequence([item[0][: 1 + int(item[1])] for item in items], batch_first=True)


def test_rows_that_depend_on_those_beside_them_are_read_every_time() -> None:
    loader, batches = DataLoader(Counted(), 8, collate_fn=padded), KeptBatches()
    batches.read(loader, range(20), seed=1)
    short = [place for place in range(20) if not loader.dataset.rows[place][1]]
    assert batches.has_changed(loader, short[:2], seed=1)


def test_of_a_row_in_two_batches_the_older_is_of_doubt() -> None:
    loader, batches = DataLoader(Counted(), 8), KeptBatches()
    batches.read(loader, [5, 3], seed=1)
    loader.dataset.rows.tensors[0][3] += 1
    batches.read(loader, [3, 4], seed=1)
    assert batches.has_changed(loader, [3], seed=1)


@pytest.mark.parametrize("on_any", [True, False])
def test_what_one_process_finds_changed_every_process_reads_anew(on_any: bool) -> None:
    loader, source = DataLoader(Counted(), 8), OverfittingGuard(fields=FIELDS, limits=LIMITS)._source
    source.kept.read(loader, [5, 3], seed=1)
    before = loader.dataset.read
    source._forget_changed(loader, [3, 40], SimpleNamespace(ranks=SimpleNamespace(any=lambda _: on_any)))
    looked = loader.dataset.read - before
    source.kept.read(loader, [5, 3], seed=1)
    assert looked == 2
    assert (loader.dataset.read - before > looked) == on_any


def test_each_look_asks_other_rows_until_all_were_asked() -> None:
    chosen = list(range(1000, 1100))
    asked = [asked_again(chosen, look, seed=3) for look in range(1, 6)]
    assert [len(set(each)) for each in asked] == [ROWS_READ_AGAIN] * 5
    assert set().union(*asked[:3]) < set(chosen) == set().union(*asked[:4])
    assert sorted(asked[0]) != asked[0]
    assert asked_again(chosen, 2, seed=4) != asked[1]
    assert sorted(asked_again(chosen[:5], 7, seed=3)) == chosen[:5]


@pytest.mark.parametrize("others_each_look", [True, False])
def test_a_change_of_one_row_in_twenty_that_two_looks_spare_is_found_at_the_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others_each_look: bool
) -> None:
    """That 32 rows spare all of 32 among 640 has a chance of 0.19, at three looks in a row one of 0.006."""
    if not others_each_look:
        monkeypatch.setattr(measured, "asked_again", lambda chosen, _, seed: asked_again(chosen, 1, seed))
    data = Counted()
    data.rows = rows(640)
    changed = torch.arange(640) % 20 == 7
    asked = [changed[asked_again(range(640), look, SPARING)] for look in (1, 2, 3)]
    assert [bool(each.any()) for each in asked] == [False, False, True]

    class Corrects(InPlace):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 1:
                data.rows.tensors[1][changed] = 1 - data.rows.tensors[1][changed]

    guard = OverfittingGuard(fields=FIELDS, limits=LIMITS, samples=640, seed=SPARING)
    found = fit(tmp_path, guard, module=Corrects, train=DataLoader(data, 64), max_epochs=4)
    first, second, third, fourth = (verdict.details["train_loss"] for verdict in found)
    assert first == second
    assert (third == first) == (not others_each_look)
    assert third == fourth


def test_a_fit_that_corrects_its_labels_is_judged_on_those_it_has(tmp_path: Path) -> None:
    data = Counted()
    right = data.rows.tensors[1].clone()

    class Corrects(InPlace):
        def on_train_epoch_start(self) -> None:
            data.rows.tensors[1].copy_(right if self.current_epoch else 1 - right)

    guard = OverfittingGuard(fields=FIELDS, limits=LIMITS, samples=16)
    first, second, third = (
        verdict.details["train_loss"]
        for verdict in fit(tmp_path, guard, module=Corrects, train=DataLoader(data, 16), max_epochs=3)
    )
    assert abs(first - second) > 0.01
    assert second == third


def test_a_set_that_gives_rows_in_place_is_seen_to_change() -> None:
    inputs, batches = torch.zeros(8, 4), KeptBatches()
    loader = DataLoader(inputs, 1, collate_fn=lambda items: items[0])
    batches.read(loader, [5], seed=1)
    inputs[5] = 1
    assert batches.has_changed(loader, [5], seed=1)


def test_a_first_look_of_few_rows_under_a_cap_does_not_hide_later_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, allowed = Counted(), iter([8, 48, 48, 48])
    monkeypatch.setattr(Scene, "rows_within_budget", lambda *_: next(allowed))
    right = data.rows.tensors[1].clone()

    class Corrects(InPlace):
        def on_train_epoch_start(self) -> None:
            data.rows.tensors[1].copy_(right if self.current_epoch > 1 else 1 - right)

    guard = OverfittingGuard(fields=FIELDS, limits=LIMITS, samples=48)
    _, wrong, corrected, again = (
        verdict.details["train_loss"]
        for verdict in fit(tmp_path, guard, module=Corrects, train=DataLoader(data, 16), max_epochs=4)
    )
    assert abs(wrong - corrected) > 0.01
    assert corrected == again


def test_guards_keep_rows_of_their_own() -> None:
    fields = BatchFields(inputs=0, target=1)
    one, other = (OverfittingGuard(fields=fields, limits=LIMITS) for _ in range(2))
    assert one._source.kept is not other._source.kept
    assert one.state_key == other.state_key


def test_a_gap_in_a_table_is_no_change() -> None:
    inputs = torch.zeros(8, 2)
    inputs[3, 1] = torch.nan
    loader, batches = DataLoader(TensorDataset(inputs, torch.zeros(8)), batch_size=8), KeptBatches()
    batches.read(loader, range(8), 0)
    assert not batches.has_changed(loader, range(8), 0)
    inputs[4, 1] = torch.nan
    assert batches.has_changed(loader, range(8), 0)
