"""What two processes saw as one table: rows by their identity, counts added, the first refusal told."""

from __future__ import annotations

from typing import Any

import torch

from safeguards.core.ranks import Ranks
from safeguards.core.rows import Sample
from safeguards.drift.sides import Seen, settled


class WithAnother(Ranks):
    """This process, and one that saw rows 1 and 3, the outputs of row 3 not being finite."""

    def gather(self, item: Any) -> list[Any]:
        if isinstance(item, tuple):
            return [item, (["x"], [1, 3], torch.tensor([[1.0], [3.0]]), 2, 1)]
        return [item, "the outputs are no logits"]


def test_rows_of_two_processes_are_in_the_order_of_their_identities() -> None:
    seen = Seen(sample=Sample(k=9, seed=0), names=["x"], rows=2)
    seen.sample.settle = lambda _: [(2, torch.tensor([2.0])), (0, torch.tensor([0.0]))]
    table = settled(seen, WithAnother())
    assert table.values.tolist() == [[0.0], [1.0], [2.0], [3.0]]
    assert (table.names, table.rows, table.faulty) == (["x"], 4, 1)
    assert table.refused == "the outputs are no logits"
