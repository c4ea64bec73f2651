"""Scanned digits from a table of pixels, such as a weekly delivery of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from pipelines.data.labels import refuse_unlabelled, targets_of
from pipelines.data.rows import RowData, Rows
from pipelines.data.schema import Kind, conform, labels_of, read_table
from pipelines.data.split import SPLITS, Split, as_row_ids, refuse_unidentified, refuse_untested, split_by_hash

__all__ = ["DigitScans"]

SIDE = 8
PIXELS = [f"pixel_{number:02}" for number in range(SIDE * SIDE)]
LABEL = "digit"
SCHEMA: dict[str, Kind] = {
    "row": "number",
    LABEL: "number",
    "stroke": "category",
    **dict.fromkeys(PIXELS, "number"),
}
CLASSES: dict[object, int] = {digit: digit for digit in range(10)}


class DigitScans(RowData):
    """Which digit is it? Inputs are (1, 8, 8) in [0, 1].

    ``path`` is a Parquet or CSV file with the columns ``row`` (what identifies a scan), ``pixel_00`` to ``pixel_63``,
    ``digit`` and ``stroke``, a property of the scan that stands in for a group. The hash of ``row`` decides the split.
    ``test_path`` is another such file: its test rows are then those of this one, so that a model can be judged on rows
    that came after the data it learned from. There ``digit`` may be missing, in all rows or in some: those have no
    label yet, and -1 for a target.

    Raises ``ValueError`` in one line for a row without an id, rows to learn from without a digit, a digit that is none,
    and a ``test_path`` without a test row.
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
        frames = self._split(self.path)
        if self.test_path is None:
            refuse_unlabelled(frames.values(), LABEL)
        else:
            refuse_unlabelled([frames["train"], frames["validation"]], LABEL)
            frames["test"] = self._later(self.test_path)
        return {split: _rows_of(frame) for split, frame in frames.items()}

    def _later(self, path: str) -> pd.DataFrame:
        """The test rows of another file, which may lack their labels, and so the column."""
        later = self._split(path, label_optional=True)
        remedy = f"give it more, or raise test_share={self.shares['test']}"
        refuse_untested(path, test=len(later["test"]), rows=sum(map(len, later.values())), remedy=remedy)
        return later["test"]

    def _split(self, path: str, *, label_optional: bool = False) -> dict[Split, pd.DataFrame]:
        table = read_table(path)
        optional = {LABEL} - {*table.columns} if label_optional else set()
        frame = conform(table, {name: kind for name, kind in SCHEMA.items() if name not in optional})
        refuse_unidentified(frame["row"])
        split = np.array(split_by_hash(frame["row"], **self.shares, seed=self.seed))
        return {name: frame[split == name] for name in SPLITS}


def _rows_of(frame: pd.DataFrame) -> Rows:
    images = frame[PIXELS].to_numpy(dtype=np.float32).reshape(-1, 1, SIDE, SIDE)
    return Rows(
        inputs=torch.from_numpy(images),
        target=targets_of(frame[LABEL], CLASSES) if LABEL in frame else None,
        row_id=torch.from_numpy(as_row_ids(frame["row"])),
        groups={"stroke": labels_of(frame["stroke"], None)},
    )
