"""Is the model unfair to a group? One table of counts per grouping, judged at the end of each validation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Unpack

import numpy as np
import torch

from safeguards.core.arguments import check_shares, check_whole
from safeguards.core.errors import ConfigurationError
from safeguards.core.predictions import answered
from safeguards.core.safeguard import Safeguard, SafeguardOptions
from safeguards.core.verdict import Measurement
from safeguards.fairness.classes import classes_of, predicted
from safeguards.fairness.comparing import Compared, Rules, compare
from safeguards.fairness.judging import held_back, judge
from safeguards.fairness.labels import Key, coded, in_order
from safeguards.fairness.measures import MEASURES
from safeguards.fairness.opinion import disagreement
from safeguards.fairness.table import GroupTable, Tally, obstacle, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from safeguards.core.batch import BatchFields
    from safeguards.core.ranks import Ranks
    from safeguards.core.rows import Rows
    from safeguards.core.scene import Scene

__all__ = ["FairnessCheck", "Seen"]

NAN = float("nan")


@dataclass(kw_only=True)
class Seen:
    """What one process saw of one loader: a tally per grouping, rows, and how many of them had no answer."""

    tallies: list[Tally]
    classes: int = 0
    rows: int = 0
    faulty: int = 0


class FairnessCheck(Safeguard):
    """Compares groups of rows by what a classifier predicts for them; definitions are fairlearn's.

    Measures: ``demographic_parity_difference``, ``equalized_odds_difference`` and ``equal_opportunity_difference`` (0:
    all groups alike, 1: as different as can be), ``demographic_parity_ratio`` (1: all alike, 0: a group is never
    selected), ``worst_group_accuracy``. Each is the worst over the attributes in ``fields.groups`` and, with
    ``intersections``, over all of them crossed; with three classes or more, over each class against the rest.

    ``positive`` is the class, a number from 0, whose prediction counts as selection when there are two classes.
    ``min_support`` is how many rows must be behind a rate; groups with fewer are named, not compared, and hold back a
    PASS, because their rate may be anything; ``ignore_small`` lets a PASS go without them. More than ``max_groups``
    groups in one grouping are INCONCLUSIVE. Intervals hold together, for all groups, measures and looks of a fit at one
    validation loader, with probability 1 - ``alpha``. The rest are the options of every safeguard (`SafeguardOptions`).

    Raises `ConfigurationError` for arguments that make no sense.
    """

    topic = "fairness"
    measures = tuple(MEASURES)
    judged_by = ("min_support", "max_groups", "ignore_small", "alpha")
    reads_inputs = False
    in_blocks = True

    def __init__(
        self,
        *,
        fields: BatchFields,
        positive: int = 1,
        min_support: int = 10,
        max_groups: int = 50,
        intersections: bool = True,
        ignore_small: bool = False,
        alpha: float = 0.05,
        **options: Unpack[SafeguardOptions],
    ) -> None:
        super().__init__(fields=fields, **options)
        _check_fields(fields)
        check_whole(self, 0, positive=positive)
        check_whole(self, 1, min_support=min_support)
        check_whole(self, 2, max_groups=max_groups)
        check_shares(self, alpha=alpha)
        self.positive, self.min_support, self.max_groups = positive, min_support, max_groups
        self.intersections, self.ignore_small, self.alpha = intersections, ignore_small, alpha
        self._attributes = tuple(fields.groups)
        self._last: dict[str, tuple[Compared, dict[str, float]]] = {}

    def prepare(self, scene: Scene) -> Seen:
        """An empty tally for each attribute, and one for all of them crossed."""
        groupings: list[tuple[str, ...]] = [(name,) for name in self._attributes]
        if self.intersections and len(self._attributes) > 1:
            groupings.append(self._attributes)
        return Seen(tallies=[Tally(grouping, self.max_groups) for grouping in groupings])

    def observe(self, seen: Seen, rows: Rows, scene: Scene) -> None:
        """Count the rows of one block. Raises `NotApplicable` for targets that are not classes of the model."""
        if rows.n == 0:
            return
        logits = rows.logits()
        sound = answered(logits).cpu()
        classes, guess = predicted(logits)
        true = classes_of(rows.target, classes, self.positive)
        labels = rows.groups
        if not sound.all():
            kept = sound.nonzero().flatten().tolist()
            true, guess = true[kept], guess[kept]
            labels = {name: [values[i] for i in kept] for name, values in labels.items()}
        columns = {name: coded(values, name) for name, values in labels.items()}
        seen.classes, seen.rows = classes, seen.rows + rows.n
        seen.faulty += rows.n - len(true)
        for tally in seen.tallies:
            tally.add(columns, true, guess, classes)

    def examine(self, seen: Seen, scene: Scene) -> dict[str, Measurement]:
        """Add the tables up over the ranks and compare the groups."""
        told = scene.ranks.gather((seen.rows, seen.faulty, seen.classes, [list(t.codes) for t in seen.tallies]))
        n, faulty, classes = sum(t[0] for t in told), sum(t[1] for t in told), max(t[2] for t in told)
        groups = [in_order(set(chain.from_iterable(met))) for met in zip(*(t[3] for t in told), strict=True)]
        if n == 0:
            return self._all(Measurement(value=NAN, n=0, insufficient="no rows were seen"))
        if faulty:
            fault = f"the outputs of {faulty} of {n} rows are NaN or infinite"
            return self._all(Measurement(value=NAN, n=n, model_fault=fault))
        if why := obstacle(seen.tallies, groups):
            return self._all(Measurement(value=NAN, n=n, insufficient=why))
        return self._judge(added_up(seen.tallies, groups, classes, scene.ranks), scene)

    def double_check(self) -> dict[str, str]:
        """The last number of each measure against fairlearn's own functions on the same table."""
        found: dict[str, str] = {}
        for compared, values in self._last.values():
            texts = {name: disagreement(name, compared, value) for name, value in values.items()}
            found |= {name: text for name, text in texts.items() if text is not None}
        return found

    def _all(self, found: Measurement) -> dict[str, Measurement]:
        return dict.fromkeys(self.limits, found)

    def _judge(self, tables: list[GroupTable], scene: Scene) -> dict[str, Measurement]:
        rules = Rules(positive=self.positive, min_support=self.min_support, alpha=self.alpha)
        compared = compare(tables, list(self.limits), rules, scene.look)
        found = {name: judge(name, compared) for name in self.limits}
        last = {name: each.value for name, each in found.items()}
        self._last[f"{scene.moment.stage}/{scene.loader.name}"] = (compared, last)
        return {
            name: held_back(each, self.limits[name], on=self.decide_on, ignore_small=self.ignore_small)
            for name, each in found.items()
        }


def added_up(tallies: Sequence[Tally], groups: Sequence[Sequence[Key]], classes: int, ranks: Ranks) -> list[GroupTable]:
    """All ranks together: the tables over all processes, groups in the order given; one sum carries all of them."""
    parts = [tally.counts_for(keys, classes) for tally, keys in zip(tallies, groups, strict=True)]
    total = ranks.sum(torch.from_numpy(np.concatenate(parts))).numpy()
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return [
        table_of(tally.attributes, keys, counts_g3c)
        for tally, keys, counts_g3c in zip(tallies, groups, np.split(total, ends), strict=True)
    ]


def _check_fields(fields: BatchFields) -> None:
    if not fields.groups or fields.target is None:
        raise ConfigurationError(
            "FairnessCheck(fields=...) needs target= and groups=, as in "
            "BatchFields(inputs=0, target=1, groups={'sex': 2})"
        )
