"""Rows of a batch, and samples that do not depend on the number of processes."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards.core.batch import BatchFields
from safeguards.core.errors import ConfigurationError, FieldError
from safeguards.core.identity import mix
from safeguards.core.ranks import Ranks
from safeguards.core.rows import Rows, Sample, read_rows


class Given:
    """Outputs that belong to the whole batch."""

    def __init__(self, logits: torch.Tensor, covers_batch: bool) -> None:
        self.logits, self.covers_batch, self.asked = logits, covers_batch, [0]

    def __call__(self, rows: Rows) -> torch.Tensor:
        self.asked.append(rows.n)
        return self.logits if self.covers_batch else rows.inputs * 2


class Together(Ranks):
    """Stands for one of several ranks whose gathers are known beforehand."""

    def __init__(self, rank: int, held: list[Any]) -> None:
        super().__init__(rank=rank, world=len(held))
        self.held = held

    def gather(self, item: Any) -> list[Any]:
        assert item == self.held[self.rank]
        return self.held


def rows(**changes: Any) -> Rows:
    batch = {
        "x": torch.arange(4.0),
        "y": torch.tensor([[0], [1], [0], [1]]),
        "sex": ["m", "f", "f", "m"],
        "id": [7, 7, 8, 9],
    }
    fields = BatchFields(**{"inputs": "x", "target": "y", "groups": {"sex": "sex"}, **changes.pop("fields", {})})
    given = {"arrived": 10, "positions": None, "size": None, "predict": Given(torch.arange(4.0) + 5, True)}
    return read_rows({**batch, **changes.pop("batch", {})}, fields, **{**given, **changes})


def test_identity_in_order() -> None:
    assert rows().ids.tolist() == [10, 11, 12, 13]
    assert not rows().identified
    assert rows(positions=torch.tensor([3, 2, 1, 0])).ids.tolist() == [3, 2, 1, 0]
    by_id = rows(positions=torch.tensor([3, 2, 1, 0]), fields={"row_id": "id"})
    assert by_id.ids.tolist() == [7, 7, 8, 9]
    assert by_id.identified


def test_target_of_one_column_is_flat() -> None:
    target = rows().target
    assert target is not None
    assert target.tolist() == [0, 1, 0, 1]


def test_fields_of_different_length_are_refused() -> None:
    with pytest.raises(FieldError, match=r"groups\['sex'\] has 3 rows, inputs have 4: name fields of the same rows$"):
        assert rows(batch={"sex": ["m", "f", "f"]}).groups


def test_targets_in_words_are_refused_with_the_remedy() -> None:
    with pytest.raises(FieldError, match="give target= a function of the batch that maps labels to whole numbers"):
        rows(batch={"y": ["no", "yes", "no", "yes"]})


def test_rows_that_come_one_by_one_are_refused() -> None:
    with pytest.raises(FieldError, match="target is a single value: a loader must give rows in batches"):
        rows(batch={"y": torch.tensor(1)})


@pytest.mark.parametrize("covers_batch", [True, False])
def test_only_keeps_everything_aligned(covers_batch: bool) -> None:
    predict = Given(torch.arange(4.0) + 5, covers_batch)
    part = rows(predict=predict).only(torch.tensor([False, True, False, True])).only(torch.tensor([False, True]))
    assert (part.n, part.ids.tolist(), part.inputs.tolist(), part.groups) == (1, [13], [3.0], {"sex": ["m"]})
    assert part.logits().tolist() == ([8.0] if covers_batch else [6.0])
    assert predict.asked[-1] == (4 if covers_batch else 1)


@pytest.mark.parametrize("wanted", [(False, True, False, True), (True,) * 4])
def test_no_more_of_a_target_is_copied_than_is_wanted(
    wanted: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[int] = []
    clone = torch.Tensor.clone
    monkeypatch.setattr(torch.Tensor, "clone", lambda tensor: (copied.append(len(tensor)), clone(tensor))[1])
    with torch.inference_mode():
        target = torch.tensor([[3], [4], [5], [6]])
    some = rows(batch={"y": target}, keep=lambda ids: torch.tensor(wanted))
    assert some.target is not None
    assert not some.target.is_inference()
    assert some.target.tolist() == [row for row, kept in zip((3, 4, 5, 6), wanted, strict=True) if kept]
    assert max(copied, default=0) <= sum(wanted)


@pytest.mark.parametrize("target", [[3, 4, 5, 6], np.array([3, 4, 5, 6])])
def test_a_target_of_another_kind_is_thinned_too(target: Any) -> None:
    some = rows(batch={"y": target}, keep=lambda ids: torch.tensor([False, True, False, True]))
    assert some.target is not None
    assert some.target.tolist() == [4, 6]


def test_rows_without_inputs_keep_no_batch_alive() -> None:
    batch = {"x": torch.arange(4.0)}
    full = rows(batch=batch)
    slim, held = full.without_inputs(), weakref.ref(batch["x"])
    expected = full.logits().tolist(), full.groups, full.target.tolist()  # type: ignore[union-attr]
    del full, batch
    gc.collect()
    assert held() is None
    assert (slim.logits().tolist(), slim.groups, slim.target.tolist()) == expected  # type: ignore[union-attr]
    some = slim.only(torch.tensor([False, True, False, True]))
    assert (some.logits().tolist(), some.groups["sex"], some.ids.tolist()) == ([6.0, 8.0], ["f", "m"], [11, 13])


def test_groups_that_cannot_be_read_fail_rows_without_inputs_only_when_asked_for() -> None:
    slim = rows(batch={"sex": ["m"]}).without_inputs()
    assert slim.logits().tolist() == [5.0, 6.0, 7.0, 8.0]
    with pytest.raises(FieldError, match="sex"):
        _ = slim.groups


def test_outputs_are_computed_once() -> None:
    predict = Given(torch.arange(4.0), True)
    seen = rows(predict=predict)
    seen.logits()
    seen.logits()
    assert predict.asked == [0, 4]


@pytest.mark.parametrize("world", [1, 2])
def test_a_sample_may_be_made_smaller_before_it_is_settled(world: int) -> None:
    samples = [Sample[int](k=20, seed=1) for _ in range(world)]
    for rank, sample in enumerate(samples):
        ids = torch.arange(rank, 40, world)
        sample.offer(ids, ids.tolist())
        sample.k = 7
    held = [[order for order, *_ in sample._kept] for sample in samples]
    ranks = [Together(rank, held) for rank in range(world)] if world > 1 else [Ranks()]
    found = sorted(item for sample, each in zip(samples, ranks, strict=True) for _, item in sample.settle(each))
    assert found == sorted(torch.arange(40)[mix(torch.arange(40), 1).argsort()[:7]].tolist())


def test_sample_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Sample(k=0)


def sampled(ids: list[list[int]], k: int, seed: int, chunk: int) -> list[int]:
    """What a job of ``len(ids)`` ranks keeps."""
    samples: list[Sample[int]] = []
    for own in ids:
        sample: Sample[int] = Sample(k=k, seed=seed)
        for start in range(0, len(own), chunk):
            part = torch.tensor(own[start : start + chunk])
            sample.offer(part, part.tolist())
        samples.append(sample)
    held = [[row[0] for row in sample._kept] for sample in samples]
    return sorted(item for rank, sample in enumerate(samples) for _, item in sample.settle(Together(rank, held)))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60),
    k=st.integers(1, 70),
    seed=st.integers(0, 99),
    world=st.integers(1, 5),
    chunk=st.integers(1, 9),
)
def test_sample_is_the_same_on_any_number_of_processes(n: int, k: int, seed: int, world: int, chunk: int) -> None:
    alone = sampled([list(range(n))], k, seed, 60)
    spread = sampled([list(range(rank, n, world)) for rank in range(world)], k, seed, chunk)
    assert spread == alone
    assert len(alone) == min(k, n)


def test_seed_changes_the_sample() -> None:
    assert sampled([list(range(100))], 10, 0, 10) != sampled([list(range(100))], 10, 1, 10)


def test_repeated_identities_are_the_users_rows_and_stay() -> None:
    assert sampled([[4, 4, 4]], 9, 0, 2) == [4, 4, 4]


def test_sampled_tensors_do_not_keep_their_batch() -> None:
    sample: Sample[torch.Tensor] = Sample(k=1)
    batch = torch.zeros(1000, 10)
    sample.offer(torch.arange(1000), batch)
    ((_, item),) = sample.settle(Ranks())
    assert item.untyped_storage().nbytes() == 10 * 4
