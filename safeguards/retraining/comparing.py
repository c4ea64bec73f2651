"""Champion and challenger side by side: every comparison that a policy may ask for, each paired row by row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from safeguards.gate import Comparison, compare_rates
from safeguards.retraining.asking import Answers, same_rows

__all__ = ["FROZEN", "compared"]

FROZEN = "frozen"
"""What the record calls the rows that both were asked about."""


def compared(champion: Answers, challenger: Answers, *, data: str = FROZEN) -> tuple[Comparison, ...]:
    """``accuracy``, ``robust_accuracy`` where both were attacked, and ``accuracy/<attribute>=<label>`` for each group.

    Raises `FieldError` unless both answered the same rows in the same order.
    """
    same_rows(champion, challenger)
    return tuple(_compared(champion, challenger, data))


def _compared(champion: Answers, challenger: Answers, data: str) -> Iterator[Comparison]:
    was, now = champion.right, challenger.right
    yield compare_rates("accuracy", was, now, data=data)
    if champion.robust is not None and challenger.robust is not None:
        yield compare_rates("robust_accuracy", champion.robust, challenger.robust, data=data)
    for name, labels in sorted(champion.groups.items()):
        for label in np.unique(labels):
            of = labels == label
            yield compare_rates(f"accuracy/{name}={label}", was[of], now[of], data=data)
