"""What two processes saw as one table: rows by their identity, counts added, the first refusal told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from safeguards.core.errors import NotApplicable
from safeguards.core.ranks import Ranks
from safeguards.drift.features import PREDICTIONS
from safeguards.drift.profile import profile
from safeguards.drift.sample import RowSample
from safeguards.drift.sides import RowTable, Seen, on_one_grid, settled


class WithAnother(Ranks):
    """This process, and one that saw rows 1 and 3, the outputs of row 3 not being finite."""

    def gather(self, item: Any) -> list[Any]:
        other = Seen(sample=RowSample(k=9), names=["x"], rows=2, faulty=1, refused="the outputs are no logits")
        return [item, (other, torch.tensor([3, 1]), torch.tensor([[3.0], [1.0]]))]


def seen(ids: list[int], values: list[float]) -> Seen:
    found = Seen(sample=RowSample(k=9), names=["x"], rows=len(ids))
    found.sample.offer(torch.tensor(ids), lambda places: torch.tensor(values)[places, None])
    return found


def test_rows_of_two_processes_are_in_the_order_of_their_identities() -> None:
    table = settled(seen([2, 0], [2.0, 0.0]), WithAnother())
    assert table.values.tolist() == [[0.0], [1.0], [2.0], [3.0]]
    assert (table.names, table.rows, table.faulty) == (["x"], 4, 1)
    assert table.refused == {"predictions": "the outputs are no logits"}


def test_rows_that_share_an_identity_are_in_the_order_of_their_values() -> None:
    table = settled(seen([7, 7, 1, 7], [3.0, 1.0, 9.0, 2.0]), Ranks())
    assert table.values.flatten().tolist() == [9.0, 1.0, 2.0, 3.0]


def test_outputs_that_are_refused_are_gone_and_the_first_reason_stays() -> None:
    rows = RowTable(names=["x", "e[0]", "y"], outputs=["e[0]"], width=1, values=torch.tensor([[1.0, 2.0, 3.0]]))
    table = rows.refuse(outputs="not asked").refuse(outputs="nor here")
    assert (table.names, table.outputs, table.values.tolist()) == (["x", "y"], (), [[1.0, 3.0]])
    assert table.refused == {"outputs": "not asked"}


def test_a_unit_that_always_says_the_same_is_the_same_on_both_sides_whatever_the_batch() -> None:
    """A constant that float32 gave in two ways; what is no output keeps every bit."""
    noise = 1 + 2.0**-22
    then, now = (
        RowTable(names=["x", "e[0]", "e[1]"], outputs=["e[0]", "e[1]"], values=torch.tensor([[one, one, 0.25]] * 3))
        for one in (1.0, noise)
    )
    then, now = on_one_grid(then, now)
    assert then.values[:, 1:].tolist() == now.values[:, 1:].tolist() == [[1.0, 0.25]] * 3
    assert now.values[0, 0] == torch.tensor(noise)


def test_a_table_of_numbers_has_the_profile_that_its_frame_has() -> None:
    values = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    values[:9, 0], values[:, 1], values[3, 2] = torch.nan, torch.nan, torch.inf
    values[:, 3] = (values[:, 3] > 0).float()
    table = RowTable(names=["x", "gone", "wide", *PREDICTIONS], values=values, rows=70)
    for rows in (table, table.refuse(predictions="not asked")):
        found, expected = rows.profile(sample=40, seed=0), profile(rows._frame(), sample=40)
        assert found.rows == 70
        assert list(found.columns) == list(expected.columns)
        assert found.sample.equals(expected.sample)
        for name, column in found.columns.items():
            same = replace(column, values=expected.columns[name].values)
            assert same == expected.columns[name]
            assert column.values.tolist() == expected.columns[name].values.tolist()
            assert column.values.dtype == expected.columns[name].values.dtype
    assert len(table.profile(sample=30, seed=0).sample) == 30


@pytest.mark.parametrize("sample", [3, 40])
@pytest.mark.parametrize("name", PREDICTIONS)
def test_of_two_columns_with_one_name_none_stands_for_both(sample: int, name: str) -> None:
    table = RowTable(names=[name, *PREDICTIONS], values=torch.zeros(40, 3), rows=40)
    for rows in (table, table.refuse(predictions="not asked")):
        with pytest.raises(NotApplicable, match=f"two columns named '{name}'"):
            rows.profile(sample=sample, seed=0)
