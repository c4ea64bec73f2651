from dataclasses import replace
from typing import Any

import torch

from safeguards import Sample
from safeguards.adversarial.sample import Chosen, Item, settle
from safeguards.core.ranks import Ranks

CPU = torch.device("cpu")


def sample(x: torch.Tensor) -> Sample[Item]:
    kept: Sample[Item] = Sample(k=5, seed=0)
    kept.offer(torch.arange(len(x)), lambda i: (x[i], torch.tensor(i), 100 + i))
    return kept


def chosen(x: torch.Tensor) -> Chosen:
    return settle(sample(x), Ranks(), CPU)


def test_rows_without_numbers_are_named_by_their_place() -> None:
    x = torch.zeros(5, 2)
    x[1, 0], x[3, 1] = float("nan"), float("inf")
    found = chosen(x)
    assert found.invalid == (101, 103)
    assert sorted(found.ids.tolist()) == [0, 2, 4]
    assert (found.total, found.largest) == (3, 3)


def test_a_rank_with_fewer_rows_repeats_its_first() -> None:
    found = chosen(torch.rand(3, 2))
    longer = Chosen(**{**vars(found), "largest": 5}).padded()
    assert torch.equal(longer.x, found.x[[0, 1, 2, 0, 0]])
    assert longer.ids.tolist() == found.ids[[0, 1, 2, 0, 0]].tolist()


def test_a_rank_without_rows_stands_in_with_zeros() -> None:
    found = chosen(torch.rand(3, 2)).part(0, 0)
    assert found.padded().x.tolist() == [[0.0, 0.0]] * 3
    assert found.padded().y.tolist() == [0] * 3


def test_the_order_of_all_rows_does_not_depend_on_the_number_of_processes() -> None:
    whole = chosen(torch.arange(10.0).reshape(5, 2))
    halves = [replace(whole, x=whole.x[r::2], y=whole.y[r::2], ids=whole.ids[r::2]) for r in range(2)]

    class Two(Ranks):
        def gather(self, item: Any) -> list[Any]:
            return [(half.x, half.y, half.ids) for half in halves]

    alone, together = whole.everywhere(Ranks(), seed=7), halves[0].everywhere(Two(), seed=7)
    assert together.ids.tolist() == alone.ids.tolist()
    assert together.y.tolist() == alone.y.tolist()
    assert torch.equal(together.x, alone.x)


def test_a_kept_row_does_not_hold_its_batch() -> None:
    x = torch.rand(1000, 2)
    ((_, (row, _, _)), *_) = sample(x).settle(Ranks())
    assert row.untyped_storage().nbytes() == 8


def test_the_digest_tells_samples_apart() -> None:
    assert chosen(torch.rand(3, 2)).digest == chosen(torch.rand(3, 2)).digest
    assert chosen(torch.rand(3, 2)).digest != chosen(torch.rand(4, 2)).digest
