from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipelines.data import DigitScans
from pipelines.data.scans import PIXELS
from pipelines.data.split import SPLITS


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


def changed(path: str, **columns: object) -> str:
    pd.read_parquet(path).assign(**columns).to_parquet(path)
    return path


@pytest.mark.parametrize("digit", [10, 3.5, -1])
def test_a_digit_that_is_none_is_told_in_one_line(tmp_path: Path, digit: float) -> None:
    path = changed(table(tmp_path / "a.parquet"), digit=digit)
    with pytest.raises(ValueError, match=f"target 'digit' holds {float(digit)}; expected one of 0, 1, .*, 9$"):
        DigitScans(path=path).setup()


def test_a_scan_needs_an_id_which_may_be_any_number(tmp_path: Path) -> None:
    path = changed(table(tmp_path / "a.parquet"), row=[None, None, *range(2, 200)])
    with pytest.raises(ValueError, match="row_id='row': 2 rows have none; give each its own"):
        DigitScans(path=path).setup()
    halves = DigitScans(path=changed(path, row=np.arange(200) / 2))
    halves.setup()
    assert len({int(i) for split in SPLITS for i in halves.rows(split).row_id}) == 200


def test_scans_to_learn_from_need_a_digit(tmp_path: Path) -> None:
    path = changed(table(tmp_path / "a.parquet"), digit=[None] * 3 + [1] * 197)
    with pytest.raises(ValueError, match="3 of 200 rows have no 'digit', and nothing is learned from those"):
        DigitScans(path=path).setup()


def test_test_scans_of_another_delivery_may_lack_a_digit_and_those_they_replace_too(tmp_path: Path) -> None:
    old, new = table(tmp_path / "old.parquet"), table(tmp_path / "new.parquet")
    tested = DigitScans(path=old).rows("test").row_id
    digit = pd.read_parquet(old)["digit"].astype(float).mask(np.isin(np.arange(200), tested))
    changed(old, digit=digit), changed(new, digit=[None, 1.0] * 100)
    target = DigitScans(path=old, test_path=new).rows("test").target
    assert target.tolist() == [1 if row % 2 else -1 for row in tested.tolist()]
    pd.read_parquet(new).drop(columns="digit").to_parquet(new)
    assert DigitScans(path=old, test_path=new).rows("test").target is None
    with pytest.raises(ValueError, match="rows have no 'digit'"):
        DigitScans(path=old).setup()


@pytest.mark.parametrize(("share", "rows"), [(0.3, 0), (0.0, 200)])
def test_another_delivery_with_no_test_row_is_refused(tmp_path: Path, share: float, rows: int) -> None:
    old, new = table(tmp_path / "old.parquet"), table(tmp_path / "new.parquet")
    pd.read_parquet(new)[:rows].to_parquet(new)
    told = rf"new.parquet: none of its {rows} rows is a test row; give it more, or raise test_share={share}$"
    with pytest.raises(ValueError, match=told):
        DigitScans(path=old, test_path=new, test_share=share).setup()
