"""Which split a row belongs to: decided by its id alone, so that a row never changes split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.data.schema import word

__all__ = ["SPLITS", "Split", "as_row_ids", "refuse_unidentified", "refuse_untested", "split_by_hash"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
WHOLE = re.compile(r"(0|-?[1-9][0-9]{0,18})(\.0)?")
"""A whole number, as a column of numbers or of text may write it."""


def split_by_hash(ids: Iterable[Any], *, validation: float, test: float, seed: int = 0) -> list[Split]:
    """One split per id. Rows may be added, removed or sorted otherwise: an id keeps its split.

    ``validation`` and ``test`` are shares of the ids in [0, 1), met in expectation; the rest is "train". Equal ids,
    such as several visits of one patient, share a split; 1, 1.0 and "1" are equal. Raises ``ValueError`` when the
    shares leave none to train on.
    """
    if min(validation, test) < 0 or validation + test >= 1:
        raise ValueError(
            f"split_by_hash(validation={validation}, test={test}): shares are 0 or more and leave room for training"
        )
    return [_place(_uniform(value, seed), validation, test) for value in ids]


def refuse_unidentified(ids: pd.Series) -> None:
    """Raises ``ValueError`` where a row has no id."""
    if absent := int(ids.isna().sum()):
        raise ValueError(f"row_id={ids.name!r}: {absent} rows have none; give each its own, or leave those rows out")


def refuse_untested(path: str, *, test: int, rows: int, remedy: str) -> None:
    """Raises ``ValueError`` where none of a file's ``rows`` is one to test on, with what to do about it."""
    if not test:
        raise ValueError(f"{path}: none of its {rows} rows is a test row; {remedy}")


def _place(u: float, validation: float, test: float) -> Split:
    if u < test:
        return "test"
    return "validation" if u < test + validation else "train"


def _uniform(value: Any, seed: int) -> float:
    return _digest(f"{seed}:{_identity(value)}") / 2**64


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def as_row_ids(ids: Iterable[Any]) -> NDArray[np.int64]:
    """``(N,)`` int64: whole numbers as they are, whatever their type, anything else by a hash of its text."""
    return np.asarray([_row_id(_identity(value)) for value in ids], dtype=np.int64)


def _row_id(identity: str) -> int:
    if WHOLE.fullmatch(identity) and abs(int(identity)) < 2**63:
        return int(identity)
    return _digest(identity) >> 1


def _identity(value: Any) -> str:
    """One word for an id, whatever type its file gives it."""
    text = word(value)
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text
