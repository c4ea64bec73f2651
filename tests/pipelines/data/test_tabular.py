import pandas as pd
import pytest
import torch

from pipelines.data import TabularData

SCHEMA = {"age": "number", "sex": "category", "seen": "datetime", "note": "text", "ill": "category"}


@pytest.fixture
def table():
    rows = range(300)
    return pd.DataFrame(
        {
            "patient": [f"p{row}" for row in rows],
            "age": [20 + row % 60 for row in rows],
            "sex": ["f" if row % 3 else "m" for row in rows],
            "seen": pd.date_range("2020-01-01", periods=300),
            "note": [f"seen {row} times" for row in rows],
            "ill": ["yes" if row % 4 == 0 else "no" for row in rows],
            "unused": 1,
        }
    )


@pytest.fixture
def build(tmp_path, table):
    def make(frame=table, **options):
        frame.to_parquet(tmp_path / "t.parquet")
        return TabularData(
            path=str(tmp_path / "t.parquet"), **{"schema": SCHEMA, "target": "ill", "row_id": "patient"} | options
        )

    return make


def test_a_batch_holds_what_safeguards_read(build):
    data = build(sensitive={"sex": None, "age": [50]}, batch_size=8)
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    assert set(batch) == {"inputs", "target", "row_id", "sex", "age_group"}
    assert (batch["inputs"].dtype, batch["target"].dtype, batch["row_id"].dtype) == (
        torch.float32,
        torch.int64,
        torch.int64,
    )
    assert batch["inputs"].shape == (8, 3)
    assert set(batch["sex"]) <= {"f", "m"}
    assert set(batch["age_group"]) <= {"under 50", "50 and over"}


def test_rows_and_frame_are_the_same_rows_in_the_same_order(build, table):
    data = build(sensitive={"sex": None})
    source = table.set_index("patient")
    for split in ("train", "validation", "test"):
        frame, rows = data.frame(split), data.rows(split)
        assert rows.groups["sex"] == source.loc[frame.index, "sex"].tolist()
        assert rows.target.tolist() == (source.loc[frame.index, "ill"] == "yes").astype(int).tolist()
        assert list(frame.columns) == list(SCHEMA)
    assert data.frame("train")["seen"].dtype.kind == "M"
    assert data.frame("train")["note"].iloc[0].startswith("seen ")
    assert sum(len(data.rows(split)) for split in ("train", "validation", "test")) == 300


def test_a_row_stays_in_its_split_when_the_file_grows_and_is_sorted(build, table):
    before = {split: set(build().frame(split).index) for split in ("train", "validation", "test")}
    grown = pd.concat([table.assign(patient=lambda t: "new " + t["patient"]), table]).sample(frac=1, random_state=0)
    after = build(grown)
    assert all(members <= set(after.frame(split).index) for split, members in before.items())


def test_scaling_and_encoding_know_the_training_rows_only(build, table):
    before = build()
    held_out = table["patient"].isin(before.frame("validation").index)
    moved = table.assign(
        age=table["age"].where(~held_out, 10_000), sex=table["sex"].where(~held_out, "never seen in training")
    )
    after = build(moved)
    assert torch.equal(before.rows("train").inputs, after.rows("train").inputs)
    assert after.feature_names == before.feature_names == ("age", "sex=f", "sex=m")
    assert after.rows("validation").inputs[:, 1:].sum() == 0


def test_a_table_may_name_its_own_splits(build, table):
    table["part"] = ["test" if row >= 200 else "train" for row in range(300)]
    data = build(table, split_column="part", validation_share=0.25)
    assert len(data.rows("test")) == 100
    assert 30 <= len(data.rows("validation")) <= 70
    table.loc[:9, "part"] = "validation"
    assert len(build(table, split_column="part").rows("validation")) == 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "il"}, "column 'il' is not in the schema"),
        ({"sensitive": {"race": None}}, "column 'race' is not in the schema"),
        ({"inputs": ["note"]}, "expected number or category columns"),
        ({"inputs": ["ill"]}, "other than the target"),
        ({"row_id": "id"}, "row_id='id' is no column: name one of 'patient'"),
        ({"split_column": "part"}, "split_column='part' is no column: name one of"),
        ({"target_values": ["yes"]}, "target 'ill' holds 'no'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"row_id": None, "test_path": "later.csv"}, "test_path='later.csv': name the column"),
    ],
)
def test_an_argument_that_does_not_fit_is_told_in_one_line(build, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        build(**options).setup()
    assert "\n" not in str(caught.value)


def test_a_row_without_an_id_is_refused(build, table):
    table.loc[3, "patient"] = None
    with pytest.raises(ValueError, match="1 rows have none; give each its own"):
        build(table).setup()


def test_an_unknown_split_is_refused(build):
    with pytest.raises(ValueError, match="expected one of train, validation, test"):
        build().frame("val")


def test_rows_without_a_target_are_counted_in_one_line(build, table):
    table.loc[::3, "ill"] = None
    with pytest.raises(ValueError, match="100 of 300 rows have no 'ill', and nothing is learned from those") as caught:
        build(table).setup()
    assert "\n" not in str(caught.value)


def test_classes_of_numbers_are_told_as_numbers(build, table):
    odd = table["patient"].isin(build().frame("validation").index[:1])
    table["ill"] = (table["ill"] == "yes").astype(int).mask(odd, 7)
    with pytest.raises(ValueError, match=r"target 'ill' holds 7.0; expected one of 0.0, 1.0$"):
        build(table, schema={**SCHEMA, "ill": "number"}).setup()


@pytest.fixture
def later(tmp_path, table):
    """A file that came later, with rows of its own; and where it lies."""
    path = tmp_path / "later.csv"
    return path, table.assign(patient=lambda t: "new " + t["patient"], age=40)


def test_the_test_rows_of_another_file_stand_in_for_those_of_this_one(build, later):
    path, frame = later
    frame.to_csv(path, index=False)
    before, data = build(), build(test_path=str(path))
    assert data.feature_names == before.feature_names
    for split in ("train", "validation"):
        assert torch.equal(data.rows(split).inputs, before.rows(split).inputs)
    assert set(data.frame("test").index) == set(build(frame).frame("test").index)
    assert len(data.rows("test")) > 20
    labels = frame.set_index("patient").loc[data.frame("test").index, "ill"] == "yes"
    assert data.rows("test").target.tolist() == labels.astype(int).tolist()


def test_rows_of_another_file_may_lack_some_labels_or_all(build, later):
    path, frame = later
    frame.assign(ill=frame["ill"].where(frame.index % 2 == 0)).to_csv(path, index=False)
    target = build(test_path=str(path)).rows("test").target
    assert set(target.tolist()) == {-1, 0, 1}
    frame.drop(columns="ill").to_csv(path, index=False)
    data = build(test_path=str(path))
    assert data.rows("test").target is None
    assert "target" not in next(iter(data.test_dataloader()))
    frame.assign(ill="perhaps").to_csv(path, index=False)
    with pytest.raises(ValueError, match="target 'ill' holds 'perhaps'"):
        build(test_path=str(path)).setup()


def test_rows_to_learn_from_are_no_test_rows_of_another_file(build, table, later):
    path, frame = later
    frame["patient"] = [*table["patient"][:30], *frame["patient"][30:]]
    frame.assign(part="test").to_csv(path, index=False)
    table["part"] = ["test" if row < 10 else "validation" if row < 20 else "train" for row in range(300)]
    with pytest.raises(
        ValueError, match=r"20 test rows of .*later.csv are rows to learn from in .*; leave them out"
    ) as told:
        build(table, split_column="part", test_path=str(path)).setup()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", ["int64", "float64", "float32", "str", "text of floats"])
def test_an_id_is_the_same_row_in_a_file_of_another_type(build, table, tmp_path, kind):
    table["patient"] = range(300)
    ids = table["patient"].astype("float64").astype("str" if kind == "text of floats" else "float64")
    same = table.assign(patient=ids if kind == "text of floats" else table["patient"].astype(kind))
    same.to_parquet(tmp_path / "same.parquet")
    alone, data = build(table), build(table, test_path=str(tmp_path / "same.parquet"))
    assert data.rows("test").row_id.tolist() == alone.rows("test").row_id.tolist() == list(alone.frame("test").index)


@pytest.mark.parametrize(("share", "count"), [(0.15, 0), (0.0, 300)])
def test_another_file_without_test_rows_is_refused(build, later, share, count):
    path, frame = later
    frame[:count].to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"later.csv: none of its {count} rows is a test row; .*test_share={share}"):
        build(test_path=str(path), test_share=share).setup()


def test_another_file_that_names_no_test_row_is_refused(build, table, later):
    path, frame = later
    frame.assign(part="train").to_csv(path, index=False)
    table["part"] = "train"
    with pytest.raises(ValueError, match=r"none of its 300 rows is a test row; .*'part' says .test."):
        build(table, split_column="part", test_path=str(path)).setup()


def test_test_rows_that_another_file_replaces_need_no_label(build, table, later):
    path, frame = later
    frame.to_csv(path, index=False)
    table.loc[table["patient"].isin(build().frame("test").index), "ill"] = None
    assert len(build(table, test_path=str(path)).rows("test")) > 20
    with pytest.raises(ValueError, match="rows have no 'ill'"):
        build(table.assign(ill=None), test_path=str(path)).setup()


def test_a_sensitive_target_is_needed_in_another_file(build, later):
    path, frame = later
    frame.drop(columns="ill").to_csv(path, index=False)
    with pytest.raises(ValueError, match="the table has no column 'ill'; it has"):
        build(test_path=str(path), sensitive={"ill": None}).setup()
