"""What the drift decision holds does not grow with the rows: exact numbers, no clock and no memory of a process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import Tensor

from safeguards import DriftReport
from safeguards.drift.profile import profile
from tests.drift.test_guard import FIELDS, LIMITS, Net, fitted, rows

SIZES = 10_000, 200_000
SAMPLE = 5000  # that of DriftReport
FEATURE_BYTES = 4 * 4
ROW_BYTES = 8 + 8 + FEATURE_BYTES + 4 + 4
"""A hash, an identity, four features, the predicted class and its score."""


def kept(value: Any) -> list[int]:
    """The bytes of every array in a state, be it seen in part only; 0 for each other thing in it."""
    if isinstance(value, Tensor):
        return [value.untyped_storage().nbytes()]
    if isinstance(value, np.ndarray):
        return [(value if value.base is None else value.base).nbytes]
    inside = vars(value) if hasattr(value, "__dict__") else value
    if isinstance(inside, Mapping):
        inside = list(inside.values())
    return [0] + [one for part in inside for one in kept(part)] if isinstance(inside, (list, tuple)) else [0]


class Weighed(DriftReport):
    """Notes what it holds after each batch, and in the end."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.between: list[int] = []
        self.settled: list[int] = []
        self.rows = 0

    def observe(self, seen: Any, rows: Any, scene: Any) -> None:
        super().observe(seen, rows, scene)
        self.between.append(sum(kept(seen)))

    def examine(self, seen: Any, scene: Any) -> Any:
        seen.sample.settle(scene.ranks)
        self.settled, self.rows = kept(seen), seen.rows
        return super().examine(seen, scene)


def test_what_a_look_holds_is_the_same_after_twenty_times_the_rows(tmp_path: Path) -> None:
    held = []
    for n in SIZES:
        guard = Weighed(reference="train", fields=FIELDS, limits=LIMITS, report=False)
        assert fitted(tmp_path, guard, rows(0, n), rows(1, n), Net(4)).n == SAMPLE
        assert (guard.rows, sum(guard.settled)) == (n, SAMPLE * ROW_BYTES)
        assert max(guard.between) < 2 * SAMPLE * ROW_BYTES, "it is thinned in time"
        assert sum(kept(guard._read)) == SAMPLE * FEATURE_BYTES, "the training rows that it is held against"
        held.append(guard.settled)
    assert held[0] == held[1]


@pytest.mark.parametrize("n", SIZES)
def test_what_is_kept_of_a_table_is_its_sample_and_its_words(n: int) -> None:
    numbers = np.arange(n)
    found = profile(pd.DataFrame({"number": numbers / n, "word": np.array(list("abcde"))[numbers % 5]}), sample=SAMPLE)
    held = {name: (len(one.values), kept(one.values), len(one.counts or ())) for name, one in found.columns.items()}
    assert held == {"number": (SAMPLE, [8 * SAMPLE], 0), "word": (SAMPLE, [8 * SAMPLE], 5)}
    assert (found.rows, len(found.sample)) == (n, SAMPLE)
