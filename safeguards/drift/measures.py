"""How far two samples of a column are apart, and what share of the columns drifted.

n: reference rows, m: current rows. A distance is in [0, 1]: the share of rows that would have to change their value for
the two samples to agree (the Kolmogorov-Smirnov statistic of numbers, the total variation of categories, the difference
of two shares). 0 is no difference; 1 is two samples that share no value. It does not feel how far an outlier lies.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safeguards.core.verdict import Measurement

__all__ = [
    "Effect",
    "Standing",
    "category_effect",
    "drifted_share",
    "judge",
    "number_effect",
    "share_effect",
    "text_effect",
    "unseen_effect",
]

Numbers = NDArray[np.float64]
Words = NDArray[np.object_]

EXACT_CELLS = 1_000_000  # n * m beyond which the asymptotic p is within 2 % of the exact one, which takes 10 ms
EXPECTED_ROWS = 5  # Cochran's rule: the chi-square approximation wants five expected rows per cell
MOST_VALUES = 50  # more categories than this only add noise to the total variation: the rest is one category
TEXT_BYTES = 128  # of each text, enough to tell sources apart
TRIGRAM_BUCKETS = 2048


class Standing(StrEnum):
    """Where a column stands: drift was found, drift was excluded, or the rows cannot say."""

    DRIFTED = "drifted"
    STABLE = "stable"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One comparison of one column.

    ``distance`` is what was seen, from 0 (alike) to 1 (nothing in common), ``by_chance`` what equal distributions would
    show on average, ``p`` the probability of a distance at least as large if they were equal.
    """

    of: str
    distance: float
    p: float
    n: int
    m: int
    by_chance: float = 0.0

    @property
    def size(self) -> float:
        """The distance beyond chance, at least 0."""
        return max(0.0, self.distance - self.by_chance)

    def ceiling(self, alpha: float) -> float:
        """An upper bound of the true distance with confidence 1 - alpha.

        All three distances are convex in the two empirical distributions, so the expected distance is at least the true
        one (Jensen), and one row moves it by at most 1/n or 1/m (McDiarmid 1989).
        """
        return min(1.0, self.distance + math.sqrt(math.log(1 / alpha) / 2 * (1 / self.n + 1 / self.m)))


def number_effect(reference: Numbers, current: Numbers, *, of: str = "values") -> Effect:
    """Two-sample Kolmogorov-Smirnov over finite values (n,) and (m,)."""
    from scipy.stats import ks_2samp

    n, m = len(reference), len(current)
    exact = n == m or n * m <= EXACT_CELLS
    with warnings.catch_warnings():  # where the exact p cannot be computed scipy takes the asymptotic one, and warns
        warnings.simplefilter("ignore", RuntimeWarning)
        found = ks_2samp(reference, current, method="exact" if exact else "asymp")
    return Effect(of=of, distance=float(found.statistic), p=float(found.pvalue), n=n, m=m)


def category_effect(reference: Words, current: Words) -> Effect:
    """Chi-square and total variation over words (n,) and (m,); rare ones, chosen over both samples, count as one."""
    from scipy.stats import chi2_contingency

    table = _merged(_table(reference, current))
    n, m = (int(side) for side in table.sum(axis=1))
    if table.shape[1] < 2:
        return Effect(of="values", distance=0.0, p=1.0, n=n, m=m)
    shares = table / table.sum(axis=1, keepdims=True)
    pooled = table.sum(axis=0) / (n + m)
    deviation = np.sqrt(2 / math.pi * pooled * (1 - pooled) * (1 / n + 1 / m))
    return Effect(
        of="values",
        distance=float(np.abs(shares[0] - shares[1]).sum() / 2),
        by_chance=float(deviation.sum() / 2),
        p=float(chi2_contingency(table, correction=False).pvalue),
        n=n,
        m=m,
    )


def _table(reference: Words, current: Words) -> NDArray[np.int64]:
    values, codes = np.unique(np.concatenate([reference, current]).astype(str), return_inverse=True)
    sides = (codes[: len(reference)], codes[len(reference) :])
    return np.stack([np.bincount(side, minlength=len(values)) for side in sides])


def _merged(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts of two sides and K words, (2, K), with the rare words as one last column."""
    pooled = table.sum(axis=0)
    expected = pooled * table.sum(axis=1).min() / pooled.sum()
    order = np.argsort(-pooled, kind="stable")
    kept = order[: int(min(MOST_VALUES, (expected >= EXPECTED_ROWS).sum()))]
    rest = table.sum(axis=1) - table[:, kept].sum(axis=1)
    return np.column_stack([table[:, kept], rest]) if rest.any() else table[:, kept]


def share_effect(hits: int, n: int, hits_now: int, m: int, *, of: str) -> Effect:
    """Two shares, ``hits`` of n and ``hits_now`` of m: Fisher's exact test where a cell is small, else chi-square."""
    from scipy.stats import chi2_contingency, fisher_exact

    table = np.array([[hits, n - hits], [hits_now, m - hits_now]])
    distance = abs(hits / n - hits_now / m)
    if not table.sum(axis=0).all():
        return Effect(of=of, distance=distance, p=1.0, n=n, m=m)
    small = np.outer(table.sum(axis=1), table.sum(axis=0)).min() / (n + m) < EXPECTED_ROWS
    found = fisher_exact(table) if small else chi2_contingency(table)
    return Effect(of=of, distance=distance, p=float(found.pvalue), n=n, m=m)


def unseen_effect(reference: Words, current: Words) -> Effect:
    """Whether current words are new more often than reference words are to each other.

    Half of the reference is the vocabulary; the other half says how often a value is new when nothing has changed. So a
    column of identifiers, where every value is always new, is no drift for that alone.
    """
    mixed = _mixed(reference)
    vocabulary, held_out = set(mixed[::2]), mixed[1::2]
    fresh = sum(value not in vocabulary for value in held_out)
    fresh_now = sum(value not in vocabulary for value in current)
    return share_effect(fresh, len(held_out), fresh_now, len(current), of="unseen")


def _mixed(words: Words) -> Words:
    """In another order, always the same: of rows that alternate, every second one is all of a kind."""
    return words[np.random.default_rng(0).permutation(len(words))]


def text_effect(reference: Words, current: Words) -> Effect:
    """Whether a classifier tells the two sides' texts apart: Kolmogorov-Smirnov over its scores of texts held out.

    Naive Bayes over the byte trigrams of each text's first 128 bytes, trained on every other text of both samples.
    """
    grams, grams_now = _trigrams(reference), _trigrams(current)
    weights = _log_odds(grams_now[::2]) - _log_odds(grams[::2])
    scores, scores_now = grams[1::2] @ weights, grams_now[1::2] @ weights
    return number_effect(scores.astype(np.float64), scores_now.astype(np.float64))


def _trigrams(texts: Words) -> NDArray[np.float32]:
    """Which of B hashed byte trigrams each of N texts has; the start of a text counts as a byte."""
    encoded = np.array([b"\x02" + str(text).encode()[:TEXT_BYTES] for text in texts], dtype=f"S{TEXT_BYTES + 3}")
    letters = encoded.view(np.uint8).reshape(len(encoded), -1).astype(np.int64)
    codes = (letters[:, :-2] * 961 + letters[:, 1:-1] * 31 + letters[:, 2:]) % TRIGRAM_BUCKETS
    present = np.zeros((len(encoded), TRIGRAM_BUCKETS), dtype=np.float32)
    rows, places = np.nonzero(letters[:, :-2])
    present[rows, codes[rows, places]] = 1
    return present


def _log_odds(grams: NDArray[np.float32]) -> NDArray[np.float32]:
    share = (grams.sum(axis=0) + 1) / (len(grams) + 2)
    return np.asarray(np.log(share / (1 - share)), dtype=np.float32)


def judge(
    columns: Mapping[str, Sequence[Effect]], *, alpha: float, min_effect: float
) -> dict[str, tuple[Standing, float]]:
    """Where each column stands, and its adjusted p.

    A column's p is its smallest among the effects of at least ``min_effect``, times the number of its comparisons
    (Bonferroni); over the columns Benjamini and Hochberg (1995) keep the expected share of false alarms among the
    drifted at ``alpha``. A column is stable when the upper bound of each of its effects is below ``min_effect``,
    at ``alpha`` for all of them together; a column without a comparison is undecided.
    """
    from scipy.stats import false_discovery_control

    if not columns:
        return {}
    raw = [_column_p(effects, min_effect) for effects in columns.values()]
    adjusted = false_discovery_control(raw)
    each = alpha / max(1, sum(len(effects) for effects in columns.values()))
    return {
        name: (_standing(effects, float(p), alpha, each, min_effect), float(p))
        for (name, effects), p in zip(columns.items(), adjusted, strict=True)
    }


def _column_p(effects: Sequence[Effect], min_effect: float) -> float:
    relevant = [effect.p for effect in effects if effect.size >= min_effect]
    return min(1.0, max(1, len(effects)) * min(relevant, default=1.0))


def _standing(effects: Sequence[Effect], p: float, alpha: float, each: float, min_effect: float) -> Standing:
    if p <= alpha:
        return Standing.DRIFTED
    if effects and all(effect.ceiling(each) < min_effect for effect in effects):
        return Standing.STABLE
    return Standing.UNDECIDED


def drifted_share(standings: Mapping[str, Standing], *, n: int, note: str = "", details: Any = None) -> Measurement:
    """Share of the columns that drifted: 0 is none, 1 is all. ``n`` is the rows compared on the smaller side.

    The interval ends where all undecided columns are stable, and where all have drifted.
    """
    total = len(standings)
    drifted = sum(standing is Standing.DRIFTED for standing in standings.values())
    undecided = sum(standing is Standing.UNDECIDED for standing in standings.values())
    return Measurement(
        value=drifted / total,
        interval=(drifted / total, (drifted + undecided) / total),
        n=n,
        note=note,
        narrows=False,
        details=details or {},
    )
