from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from safeguards import ConfigurationError, Limit
from safeguards.core.errors import DataRefused
from safeguards.retraining import Delivery, Look, deliver, lacking, take

LOOK = Look(limit=Limit(at_most=0.1), leave_out=["row"], sample=1000)


def delivered(folder: Path, *frames: pd.DataFrame) -> Delivery:
    source = folder / "source"
    source.mkdir(parents=True)
    for number, frame in enumerate(frames):
        frame.to_parquet(source / f"{number}.parquet")
    deliver(source)
    return take(source, folder / "taken")


def table(seed: int, shift: float = 0.0, rows: int = 500) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "row": range(seed * 1000, seed * 1000 + rows),
            "age": draw.normal(size=rows) + shift,
            "kind": ["a", "b"] * (rows // 2),
        }
    )


def test_rows_that_only_identify_are_left_out(tmp_path: Path) -> None:
    columns, found = LOOK.compare(delivered(tmp_path / "a", table(1)), delivered(tmp_path / "b", table(2)))
    assert (list(columns), found.value) == (["age", "kind"], 0.0)
    whole = Look(limit=Limit(at_most=0.1), sample=1000)
    assert whole.compare(delivered(tmp_path / "c", table(1)), delivered(tmp_path / "d", table(2)))[1].value > 0


def test_a_column_that_moved_is_named(tmp_path: Path) -> None:
    _, found = LOOK.compare(delivered(tmp_path / "a", table(1)), delivered(tmp_path / "b", table(2, shift=1)))
    assert (found.value, "drifted: age" in found.note) == (0.5, True)


def test_files_of_a_delivery_are_one_table(tmp_path: Path) -> None:
    one = delivered(tmp_path / "a", pd.concat([table(1), table(2)], ignore_index=True))
    two = delivered(tmp_path / "b", table(1), table(2))
    assert LOOK.compare(one, two)[1].details["rows"] == {"reference": 1000, "current": 1000}
    assert LOOK.compare(one, two)[1].value == 0


def test_files_of_different_kinds_are_no_delivery(tmp_path: Path) -> None:
    mixed = delivered(tmp_path / "a", table(1), table(2).drop(columns="kind"))
    with pytest.raises(DataRefused, match="differ in their columns"):
        LOOK.compare(mixed, mixed)


def test_what_comes_later_is_told_from_what_is_there(tmp_path: Path) -> None:
    rows = table(1).assign(whole=1.0, partly=[1.0, None] * 250, empty=None)
    one = delivered(tmp_path / "a", rows, rows.assign(whole=2.0))
    assert lacking(one, ["whole", "partly", "empty", "absent"]) == {"partly": True, "empty": False, "absent": False}
    assert lacking(one, []) == {}


@pytest.mark.parametrize("wrong", [{"sample": 3}, {"alpha": 0}, {"min_effect": 1.5}])
def test_what_makes_no_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigurationError):
        Look(limit=Limit(at_most=0.1), **wrong)
