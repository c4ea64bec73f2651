"""Which rows of a comparison are in a table, and that the reference is read once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from safeguards.core.errors import NotApplicable
from safeguards.drift.features import PREDICTIONS
from safeguards.drift.sides import RowTable
from safeguards.drift.tables import Tables

FRAMES = {"train": [1.0, 2.0, 3.0, 4.0], "validation": [1.0, 2.0], "test": [1.0, 2.0, 3.0]}


def scene(*, frame: bool = True, loader: str | None = None, stage: str = "validate") -> Any:
    asked: list[str] = []

    def give(split: str) -> pd.DataFrame:
        asked.append(split)
        return pd.DataFrame({"x": FRAMES[split]})

    module = SimpleNamespace(asked=asked, **({"frame": give} if frame else {}))
    places = {"loader": SimpleNamespace(name=loader), "moment": SimpleNamespace(stage=stage)}
    return SimpleNamespace(trainer=SimpleNamespace(datamodule=module), **places)


def tables(reference: Any = "train", current: Any = "validation", columns: Any = None) -> Tables:
    return Tables(reference=reference, current=current, columns=columns, seed=0)


NONE = RowTable(names=[], values=torch.empty(0, 0)).refuse(predictions="not asked", outputs="not asked")
ROWS = RowTable(names=["x", *PREDICTIONS], values=torch.zeros(5, 1 + len(PREDICTIONS)), rows=5)


@pytest.mark.parametrize(
    ("current", "where", "held"),
    [
        ("validation", scene(), True),
        ("validation", scene(frame=False), False),
        ("validation", scene(loader="b"), False),
        (pd.DataFrame({"x": [1.0]}), scene(frame=False, loader="b"), True),
    ],
)
def test_where_the_current_rows_are(current: Any, where: Any, held: bool) -> None:
    assert tables(current=current).hold(where) == held


def test_the_reference_is_read_once_until_it_is_forgotten_and_what_is_current_at_each_look() -> None:
    place, sides = scene(), tables()
    assert [sides.reference(None, place, 100)[0].rows for _ in range(2)] == [4, 4]
    assert [sides.current(NONE, place, 100)[0].rows for _ in range(2)] == [2, 2]
    sides.forget()
    sides.reference(None, place, 100)
    assert place.trainer.datamodule.asked == ["train", "validation", "validation", "train"]
    assert tables().current(NONE, scene(stage="test"), 100)[0].rows == 3


def test_rows_of_batches_are_their_own_reference_where_no_table_has_them() -> None:
    side, torn = tables().reference(ROWS, scene(frame=False), 100)
    assert (side.rows, torn) == (5, None)


def test_without_a_table_or_names_for_its_columns_nothing_can_be_compared() -> None:
    with pytest.raises(NotApplicable, match="has no table"):
        tables(columns=["x"]).reference(None, scene(frame=False), 100)
    with pytest.raises(NotApplicable, match="columns= must name"):
        tables(reference=pd.DataFrame({"x": [1.0]})).reference(None, scene(frame=False), 100)
