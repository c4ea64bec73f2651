"""Scanned digits from a table of pixels, such as a weekly delivery of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipelines.data.rows import UNLABELLED, RowData, Rows
from pipelines.data.schema import conform, labels_of, read_table
from pipelines.data.split import SPLITS, Split, as_row_ids, split_by_hash

__all__ = ["DigitScans"]

SIDE = 8
PIXELS = [f"pixel_{number:02}" for number in range(SIDE * SIDE)]


class DigitScans(RowData):
    """Which digit is it? Inputs are (1, 8, 8) in [0, 1].

    ``path`` is a Parquet or CSV file with the columns ``row`` (what identifies a scan), ``pixel_00`` to ``pixel_63``,
    ``digit`` and ``stroke``, a property of the scan that stands in for a group. The hash of ``row`` decides the split.
    ``test_path`` is another such file: its test rows are then those of this one, so that a model can be judged on rows
    that came after the data it learned from. There ``digit`` may be missing, in all rows or in some: those have no
    label yet, and -1 for a target.
    """

    def __init__(
        self,
        *,
        path: str,
        test_path: str | None = None,
        validation_share: float = 0.2,
        test_share: float = 0.3,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size)
        self.path, self.test_path = path, test_path
        self.shares = {"validation": validation_share, "test": test_share}
        self.seed = seed

    def build(self) -> dict[Split, Rows]:
        found = self._read(self.path)
        if self.test_path is None:
            return found
        return {**found, "test": self._read(self.test_path, labels_optional=True)["test"]}

    def _read(self, path: str, *, labels_optional: bool = False) -> dict[Split, Rows]:
        whole = read_table(path)
        label = {} if labels_optional and "digit" not in whole.columns else {"digit": "number"}
        kinds = {"row": "number", **label, "stroke": "category", **dict.fromkeys(PIXELS, "number")}
        table = conform(whole, kinds)  # type: ignore[arg-type]
        table["row"] = table["row"].astype("int64")
        split = np.array(split_by_hash(table["row"], **self.shares, seed=self.seed))
        images = table[PIXELS].to_numpy(dtype=np.float32).reshape(-1, 1, SIDE, SIDE)
        digit = self._labels(path, table["digit"], optional=labels_optional) if label else None
        stroke = np.array(labels_of(table["stroke"], None))
        ids = as_row_ids(table["row"])
        places = {name: np.flatnonzero(split == name) for name in SPLITS}
        return {
            name: Rows(
                inputs=torch.from_numpy(images[chosen]),
                target=None if digit is None else torch.from_numpy(digit[chosen]),
                row_id=torch.from_numpy(ids[chosen]),
                groups={"stroke": stroke[chosen].tolist()},
            )
            for name, chosen in places.items()
        }

    def _labels(self, path: str, digit: pd.Series, *, optional: bool) -> NDArray[np.int64]:
        if not optional and digit.isna().any():
            raise ValueError(f"{path}: {digit.isna().sum()} rows have no digit, and nothing is learned from those")
        return digit.fillna(UNLABELLED).to_numpy(dtype=np.int64)
