import numpy as np
import pandas as pd
import pytest

from pipelines.data.encoding import Encoder

TRAIN = pd.DataFrame({"x": [1.0, 3.0, None], "k": pd.Series(["b", None, "a"], dtype=object)})


def fitted() -> Encoder:
    return Encoder.fit(TRAIN, numbers=["x"], categories=["k"])


def test_numbers_by_hand():
    assert fitted().names == ("x", "x=missing", "k=a", "k=b", "k=missing")
    expected = [[-1, 0, 0, 1, 0], [1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]
    encoded = fitted().encode(TRAIN)
    assert encoded.tolist() == expected
    assert encoded.dtype == np.float32


def test_other_rows_are_encoded_by_what_training_taught():
    other = pd.DataFrame({"x": [5.0], "k": pd.Series(["never seen"], dtype=object)})
    assert fitted().encode(other).tolist() == [[3, 0, 0, 0, 0]]


def test_a_constant_column_is_zero_and_not_nan():
    frame = pd.DataFrame({"x": [2.0, 2.0]})
    assert Encoder.fit(frame, numbers=["x"], categories=[]).encode(frame).tolist() == [[0], [0]]


def test_a_gap_that_training_did_not_have_is_said():
    encoder = Encoder.fit(pd.DataFrame({"x": [1.0, 3.0]}), numbers=["x"], categories=[])
    with pytest.warns(UserWarning, match="'x' has 1 gaps and had none in training"):
        assert encoder.encode(pd.DataFrame({"x": [None]}, dtype=float)).tolist() == [[0]]


@pytest.mark.parametrize("values", [[np.nan, np.nan], [1.0, np.inf]])
def test_a_column_without_a_finite_number_is_refused(values):
    with pytest.raises(ValueError, match="column 'x'"):
        Encoder.fit(pd.DataFrame({"x": values}), numbers=["x"], categories=[])


def test_no_rows_teach_nothing():
    with pytest.raises(ValueError, match="no training rows"):
        Encoder.fit(TRAIN.iloc[:0], numbers=["x"], categories=["k"])
