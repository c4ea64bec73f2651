"""Groups compared over rows that a model has answered already, outside of any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from safeguards.core.errors import NotApplicable
from safeguards.core.limit import Limit
from safeguards.core.verdict import Measurement
from safeguards.fairness.comparing import Rules, compare
from safeguards.fairness.judging import held_back, judge
from safeguards.fairness.labels import coded, in_order
from safeguards.fairness.table import Counts, Tally, obstacle, table_of

__all__ = ["compare_groups"]

MAX_GROUPS = 50
FIRST_LOOK = 1


def compare_groups(
    limits: Mapping[str, Limit],
    groups: Mapping[str, Sequence[str]],
    *,
    true: Counts,
    guess: Counts,
    positive: int = 1,
    min_support: int = 10,
    alpha: float = 0.05,
) -> dict[str, Measurement]:
    """The measures that ``limits`` name, of N rows with the classes ``true`` and ``guess``, both int64 ``(N,)``.

    ``groups`` has N labels per attribute; several attributes are crossed too. The rest is `FairnessCheck`'s, and so are
    the numbers: those of the first look of a fit. Raises `NotApplicable` for labels below 0, which are no classes.
    """
    if (true < 0).any():
        raise NotApplicable(f"cannot apply: label {int(true.min())} is no class; leave such rows out")
    crossed = [tuple(groups)] if len(groups) > 1 else []
    tallies = [Tally(names, MAX_GROUPS) for names in [*((name,) for name in groups), *crossed]]
    classes = int(max(true.max(initial=0), guess.max(initial=0), positive)) + 1
    columns = {name: coded(given, name) for name, given in groups.items()}
    for tally in tallies:
        tally.add(columns, true, guess, classes)
    keys = [in_order(tally.codes) for tally in tallies]
    why = _nothing(len(true), groups) or obstacle(tallies, keys)
    if why is not None:
        return dict.fromkeys(limits, Measurement(value=np.nan, n=len(true), insufficient=why))
    tables = [table_of(t.attributes, k, t.counts_for(k, classes)) for t, k in zip(tallies, keys, strict=True)]
    rules = Rules(positive=positive, min_support=min_support, alpha=alpha)
    compared = compare(tables, list(limits), rules, FIRST_LOOK)
    return {
        name: held_back(judge(name, compared), limit, on="interval", ignore_small=False)
        for name, limit in limits.items()
    }


def _nothing(rows: int, groups: Mapping[str, Sequence[str]]) -> str | None:
    if not groups:
        return "no attribute says which group a row is of"
    return None if rows else "there are no rows"
