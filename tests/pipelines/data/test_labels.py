from __future__ import annotations

import pandas as pd
import pytest
import torch

from pipelines.data.labels import refuse_unlabelled, targets_of


def test_a_label_is_the_number_of_its_class_and_a_gap_is_none_yet() -> None:
    found = targets_of(pd.Series(["b", None, "a", "b"]), {"a": 0, "b": 1})
    assert found.dtype is torch.int64
    assert found.tolist() == [1, -1, 0, 1]


def test_a_label_that_is_no_class_is_named() -> None:
    with pytest.raises(ValueError, match="target 'ill' holds 'c'; expected one of 'a', 'b'"):
        targets_of(pd.Series(["b", None, "c"], name="ill"), {"a": 0, "b": 1})


def test_rows_without_a_label_are_counted_over_every_frame() -> None:
    frames = [pd.DataFrame({"ill": ["a", None]}), pd.DataFrame({"ill": [None, "b", "a"]})]
    with pytest.raises(ValueError, match="2 of 5 rows have no 'ill', and nothing is learned from those; label them"):
        refuse_unlabelled(frames, "ill")
    refuse_unlabelled([frame.dropna() for frame in frames], "ill")
