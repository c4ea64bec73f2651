from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipelines.data import DigitScans
from pipelines.data.scans import PIXELS


def table(path: Path, rows: int = 200, ink: float = 0.0, order: int = 1) -> str:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.uniform(size=(rows, 64)) * 0.5 + ink, columns=PIXELS)
    frame = frame.assign(row=range(rows), digit=draw.integers(10, size=rows), stroke=["thin", "thick"] * (rows // 2))
    frame.iloc[::order].to_parquet(path)
    return str(path)


def test_a_row_is_an_image_of_eight_lines(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet")
    rows = DigitScans(path=path).rows("train")
    frame = pd.read_parquet(path).set_index("row")
    place = int(rows.row_id[3])
    assert rows.inputs[3].shape == (1, 8, 8)
    assert float(rows.inputs[3, 0, 2, 5]) == pytest.approx(frame.loc[place, "pixel_21"])
    assert int(rows.target[3]) == frame.loc[place, "digit"]
    assert rows.groups["stroke"][3] == frame.loc[place, "stroke"]


def test_a_row_keeps_its_split_whatever_the_order(tmp_path: Path) -> None:
    first, turned = (DigitScans(path=table(tmp_path / f"{order}.parquet", order=order)) for order in (1, -1))
    for split in ("train", "validation", "test"):
        assert sorted(first.rows(split).row_id.tolist()) == sorted(turned.rows(split).row_id.tolist())


def test_test_rows_of_another_delivery_take_the_place_of_its_own(tmp_path: Path) -> None:
    old, new = table(tmp_path / "old.parquet"), table(tmp_path / "new.parquet", ink=0.5)
    mixed, later = DigitScans(path=old, test_path=new), DigitScans(path=new)
    assert torch.equal(mixed.rows("test").inputs, later.rows("test").inputs)
    assert torch.equal(mixed.rows("test").row_id, later.rows("test").row_id)
    assert torch.equal(mixed.rows("train").inputs, DigitScans(path=old).rows("train").inputs)


def test_a_table_without_a_pixel_is_told_in_one_line(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet")
    pd.read_parquet(tmp_path / "a.parquet").drop(columns="pixel_07").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="no column 'pixel_07'"):
        DigitScans(path=str(tmp_path / "b.parquet")).rows("train")
