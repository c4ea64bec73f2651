"""One table of counts for each grouping: all that fairness is computed from.

Legend: N rows, G groups, C classes; the axis of 3 is (true, predicted, both): of the rows of a group, how many have
class c, how many are predicted c, how many are both. It holds the counts of every one-vs-rest confusion, adds up over
batches and processes, and its size depends on groups and classes, not on rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
import numpy.typing as npt

from safeguards.core.errors import NotApplicable
from safeguards.fairness.labels import Coded, Key, crossed, show, spellings

__all__ = ["Counts", "GroupTable", "Tally", "count_rows", "obstacle", "table_of"]

Counts = npt.NDArray[np.int64]
NAMED_UNSEEN = 5


@dataclass(frozen=True, kw_only=True)
class GroupTable:
    """The counts of one grouping over all processes: an attribute, or several crossed.

    ``unseen`` is how many combinations of labels never occurred together, ``unseen_names`` the first of them.
    """

    attributes: tuple[str, ...]
    groups: tuple[str, ...]
    counts_g3c: Counts
    unseen: int = 0
    unseen_names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The attribute's name, or the names joined by "&"."""
        return " & ".join(self.attributes)

    @property
    def n(self) -> int:
        """Rows counted."""
        return int(self.counts_g3c[:, 0].sum())

    @property
    def classes(self) -> int:
        """C, the number of classes the model tells apart."""
        return int(self.counts_g3c.shape[2])


class Tally:
    """The counts of one grouping on one process. It counts no further once there are more than ``max_groups``."""

    def __init__(self, attributes: tuple[str, ...], max_groups: int) -> None:
        self.attributes = attributes
        self.max_groups = max_groups
        self.codes: dict[Key, int] = {}
        self.counts_g3c: Counts | None = None

    @property
    def name(self) -> str:
        """The attribute's name, or the names joined by "&"."""
        return " & ".join(self.attributes)

    @property
    def too_many(self) -> bool:
        """Whether more than ``max_groups`` groups were met here."""
        return len(self.codes) > self.max_groups

    def add(self, columns: Mapping[str, Coded], true: Counts, guess: Counts, classes: int) -> None:
        """Count N rows by the columns of each attribute; ``true`` and ``guess`` are ``(N,)`` classes 0 .. C - 1."""
        rows = crossed([columns[name] for name in self.attributes])
        self._enrol(rows.groups)
        if self.too_many:
            return
        if self.counts_g3c is None:
            self.counts_g3c = np.zeros((self.max_groups, 3, classes), dtype=np.int64)
        code = np.array([self.codes[key] for key in rows.groups], dtype=np.int64)[rows.place]
        self.counts_g3c += count_rows(code, true, guess, self.counts_g3c.shape)

    def _enrol(self, keys: Sequence[Key]) -> None:
        for key in keys:
            if self.too_many:
                return
            self.codes.setdefault(key, len(self.codes))

    def counts_for(self, groups: Sequence[Key], classes: int) -> Counts:
        """The counts of this process in the order of ``groups``, zero for those it never met."""
        counts_g3c = np.zeros((len(groups), 3, classes), dtype=np.int64)
        for row, key in enumerate(groups):
            if self.counts_g3c is not None and key in self.codes:
                counts_g3c[row] = self.counts_g3c[self.codes[key]]
        return counts_g3c


def count_rows(code: Counts, true: Counts, guess: Counts, shape: tuple[int, ...]) -> Counts:
    """N rows, each with the place of its group, its class and its predicted class, as a ``(G, 3, C)`` table."""
    groups, _, classes = shape
    right = true == guess
    cells = [(code, true), (code, guess), (code[right], true[right])]
    counted = [np.bincount(place * classes + kind, minlength=groups * classes) for place, kind in cells]
    return np.stack([counts.reshape(groups, classes) for counts in counted], axis=1)


def table_of(attributes: tuple[str, ...], groups: Sequence[Key], counts_g3c: Counts) -> GroupTable:
    """A table with readable names; crossed labels that never met are counted and the first are named.

    Raises `NotApplicable` for counts that no set of rows can have: negative, or more hits than rows.
    """
    true_gc, predicted_gc, both_gc = counts_g3c[:, 0], counts_g3c[:, 1], counts_g3c[:, 2]
    if (counts_g3c < 0).any() or (both_gc > np.minimum(true_gc, predicted_gc)).any():
        raise NotApplicable(f"the counts of {' & '.join(attributes)} are not those of any rows")
    sides = [sorted({key[i] for key in groups}) for i in range(len(attributes))]
    met = set(groups)
    never = (key for key in product(*sides) if key not in met)
    return GroupTable(
        attributes=attributes,
        groups=tuple(show(key, attributes) for key in groups),
        counts_g3c=counts_g3c,
        unseen=math.prod(len(side) for side in sides) - len(groups),
        unseen_names=tuple(show(key, attributes) for key in islice(never, NAMED_UNSEEN)),
    )


def obstacle(tallies: Sequence[Tally], groups: Sequence[Sequence[Key]]) -> str | None:
    """Why the groups of these groupings, all that were met, cannot be compared; None where they can."""
    for tally, keys in zip(tallies, groups, strict=True):
        several = len(tally.attributes) > 1
        if len(keys) > tally.max_groups:
            remedy = "use intersections=False" if several else "put its labels into fewer groups"
            return f"{tally.name} has more than {tally.max_groups} groups (max_groups): {remedy}"
        if not several and (alike := spellings(key[0] for key in keys)):
            names = "; ".join(" and ".join(each) for each in alike[:3])
            return f"{tally.name} has labels that look like one group, {names}: give each group one spelling"
    return None
