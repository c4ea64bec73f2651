import pandas as pd
import pytest

from pipelines.data.schema import conform, labels_of, read_table


def test_a_csv_keeps_its_words_and_knows_its_gaps(tmp_path):
    (tmp_path / "t.csv").write_text("code,place,age\n007,NA,41\n?, x ,\n")
    table = conform(read_table(tmp_path / "t.csv"), {"code": "text", "place": "category", "age": "number"})
    assert table["code"].tolist()[0] == "007"
    assert table["place"].tolist() == ["NA", "x"]
    assert table.isna().to_numpy().tolist() == [[False, False, False], [True, False, True]]


def test_csv_and_parquet_give_the_same_table(tmp_path):
    schema = {"age": "number", "sex": "category", "seen": "datetime", "note": "text"}
    frame = pd.DataFrame(
        {"age": [41, 52], "sex": [1, 2], "seen": pd.to_datetime(["2020-01-02", "2021-03-04"]), "note": ["a", "b c"]}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    of_csv = conform(read_table(tmp_path / "t.csv"), schema)
    pd.testing.assert_frame_equal(of_csv, conform(read_table(tmp_path / "t.parquet"), schema))
    assert of_csv["seen"].dtype.kind == "M"
    assert of_csv["sex"].tolist() == ["1", "2"]


def test_one_category_written_in_several_ways_is_one_category():
    table = pd.DataFrame({"sex": pd.Series([1, 1.0, " 1", "1 ", "01"], dtype=object)})
    assert conform(table, {"sex": "category"})["sex"].tolist() == ["1", "1", "1", "1", "01"]


def test_bad_input_is_told_in_one_line(tmp_path):
    table = pd.DataFrame({"age": ["41", "old"]}, index=[7, 7])
    with pytest.raises(ValueError, match="column 'age' is a number, but row 7 holds 'old'"):
        conform(table, {"age": "number"})
    with pytest.raises(ValueError, match="no column 'sex'; it has 'age'"):
        conform(table, {"sex": "category"})
    with pytest.raises(ValueError, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_bands_cut_at_their_lower_edge_and_a_gap_is_a_group():
    ages = pd.Series([44.9, 45.0, 59.0, 60.0, None], name="age")
    assert labels_of(ages, [45, 60]) == [
        "under 45",
        "45 to under 60",
        "45 to under 60",
        "60 and over",
        "missing",
    ]
    assert labels_of(pd.Series(["a", None], dtype=object), None) == ["a", "missing"]
    with pytest.raises(ValueError, match="need a column of numbers"):
        labels_of(pd.Series(["a"], name="sex"), [1])
