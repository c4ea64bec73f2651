"""Handwritten digits that scikit-learn carries (Alpaydin and Kaynak, 1998): 1,797 images of 8 x 8 pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.data.rows import RowData, Rows
from pipelines.data.split import SPLITS, Split, split_by_hash

__all__ = ["Digits"]

DARKEST = 16.0


class Digits(RowData):
    """Which digit is it? Inputs are (1, 8, 8) in [0, 1], 1 being ink.

    Nobody's protected attribute is in these images. ``stroke``, the stand-in, is a property of the image: "thin" or
    "thick", as its ink is below or from the median of the training images. It shows how the check works, not how fair
    the model is to people.
    """

    def __init__(
        self, *, validation_share: float = 0.3, test_share: float = 0.1, batch_size: int = 64, seed: int = 0
    ) -> None:
        super().__init__(batch_size=batch_size)
        self.shares = {"validation": validation_share, "test": test_share}
        self.seed = seed

    def build(self) -> dict[Split, Rows]:
        from sklearn.datasets import load_digits

        source = load_digits()
        images = (source.images / DARKEST).astype(np.float32)
        ink = images.mean(axis=(1, 2))
        split = np.array(split_by_hash(range(len(images)), **self.shares, seed=self.seed))
        thick = ink >= np.median(ink[split == "train"])
        digit = source.target.astype(np.int64)
        return {name: _rows(images, digit, thick, np.flatnonzero(split == name)) for name in SPLITS}


def _rows(
    images: NDArray[np.float32], digit: NDArray[np.int64], thick: NDArray[np.bool_], chosen: NDArray[np.int64]
) -> Rows:
    return Rows(
        inputs=torch.from_numpy(images[chosen]).unsqueeze(1),
        target=torch.from_numpy(digit[chosen]),
        row_id=torch.from_numpy(chosen.astype(np.int64)),
        groups={"stroke": ["thick" if is_thick else "thin" for is_thick in thick[chosen]]},
    )
