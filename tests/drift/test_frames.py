from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from safeguards.core.errors import ConfigurationError, NotApplicable
from safeguards.drift.frames import check_source, module_frame, read_file

TABLE = "id,age,city,day\n1,20.5,Rome,2024-01-01\n2,,Bern,2024-01-02\n3,40,,2024-01-03\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_csv(tmp_path: Path) -> None:
    source = read_file(write(tmp_path / "a.csv", TABLE))
    assert source.frame.age.isna().sum() == 1
    assert source.frame.city.isna().sum() == 1
    assert pd.to_datetime(source.frame.day).max() == pd.Timestamp("2024-01-03")
    assert (source.loose, source.torn) == (True, None)


def test_packed_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    assert len(read_file(tmp_path / "a.csv.gz").frame) == 3


def test_parquet(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    source = read_file(tmp_path / "a.parquet")
    assert (source.frame.a.tolist(), source.loose) == ([1, 2], False)


def test_half_written_csv_is_told_with_the_row_left_out(tmp_path: Path) -> None:
    source = read_file(write(tmp_path / "a.csv", TABLE[:-14]))
    assert len(source.frame) == 2
    assert source.torn is not None
    assert "1 rows of a.csv have a wrong number of fields (2 where 4 are expected)" in source.torn


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"\xff\xfe\x00" * 40])
@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"cannot be read as .*; write it anew$") as caught:
        read_file(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_half_a_parquet_file(tmp_path: Path) -> None:
    pd.DataFrame({"a": range(1000)}).to_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_file(tmp_path / "a.parquet")


def test_sources_that_are_accepted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    path = write(tmp_path / "a.csv", TABLE)
    assert check_source("reference", "train", "train") == "train"
    assert check_source("reference", frame, "train") is frame
    assert check_source("reference", str(path), "train") == path


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("validation", "DriftReport\\(reference='validation'\\): expected \"train\", a data frame, or the path"),
        ("a.pkl", 'expected "train", a data frame'),
        ("none.csv", 'there is no such file; expected "train", a data frame, or the path'),
        (3, "DriftReport\\(reference=int\\)"),
    ],
)
def test_sources_that_are_refused(value: object, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        check_source("reference", value, "train")


def test_frames_of_a_data_module() -> None:
    frame = pd.DataFrame({"a": [1]})
    trainer = SimpleNamespace(datamodule=SimpleNamespace(frame=lambda split: {"train": frame}.get(split)))
    source = module_frame(trainer, "train")
    assert source is not None
    assert source.frame is frame
    with pytest.raises(NotApplicable, match=r"frame\('test'\) gave a NoneType"):
        module_frame(trainer, "test")
    assert module_frame(SimpleNamespace(datamodule=None), "train") is None
    assert module_frame(SimpleNamespace(), "train") is None
