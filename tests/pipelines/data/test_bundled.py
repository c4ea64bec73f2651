"""The data sets that scikit-learn carries, and the Adult file where somebody put it."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

from pipelines.data import AdultCensus, DiabetesStudy, Digits

ADULT = Path(__file__).parents[4] / "shared" / "data" / "adult.csv.gz"


def whole(data, column):
    return np.concatenate([data.frame(split)[column] for split in ("train", "validation", "test")])


def test_the_diabetes_study_is_whole_and_its_target_is_above_the_median():
    data, source = DiabetesStudy(), load_diabetes(as_frame=True, scaled=False).frame
    rows = [data.rows(split) for split in ("train", "validation", "test")]
    ids = np.concatenate([part.row_id for part in rows])
    target = np.concatenate([part.target for part in rows])
    assert sorted(ids) == list(range(442))
    assert (target == (source["target"] > source["target"].median()).to_numpy()[ids]).all()
    assert "progression" not in data.feature_names
    assert data.features == len(data.feature_names) == 11


def test_the_groups_of_the_diabetes_study_are_real_sex_and_age():
    data = DiabetesStudy()
    rows, frame = data.rows("validation"), data.frame("validation")
    assert rows.groups["sex"] == frame["sex"].tolist()
    assert rows.groups["age_group"] == ["under 50" if age < 50 else "50 and over" for age in frame["age"]]
    assert (whole(data, "sex") == "1").sum() == 235


def test_digits_are_the_images_and_their_stroke():
    data, source = Digits(), load_digits()
    rows = data.rows("validation")
    assert rows.inputs.shape[1:] == (1, 8, 8)
    assert np.allclose(rows.inputs[:, 0] * 16, source.images[rows.row_id])
    assert rows.target.tolist() == source.target[rows.row_id].tolist()
    assert rows.groups["stroke"].count("thick") / len(rows) == pytest.approx(0.5, abs=0.1)
    assert (data.features, data.classes) == (1, 10)
    assert not hasattr(data, "frame"), "images have no table: drift takes the statistics of each"


@pytest.mark.skipif(not ADULT.is_file(), reason="needs the Adult census file")
def test_adult_counts_are_those_that_are_known():
    data = AdultCensus(path=str(ADULT))
    train = [data.rows("train"), data.rows("validation")]
    sex = np.concatenate([part.groups["sex"] for part in train])
    rich = np.concatenate([part.target for part in train])
    assert [(sex == "Male").sum(), (sex == "Female").sum()] == [21_790, 10_771]
    assert [rich[sex == "Male"].sum(), rich[sex == "Female"].sum()] == [6_662, 1_179]
    assert len(data.rows("test")) == 16_281
    assert "workclass=missing" in data.feature_names


def test_neither_the_weight_of_the_census_nor_the_target_is_an_input_of_adult():
    assert not {"fnlwgt", "income"} & set(AdultCensus(path="adult.csv").inputs)
