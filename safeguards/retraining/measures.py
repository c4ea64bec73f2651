"""What can be said of a live model on rows of any week. Pure.

Legend: N rows, B bins of equal width over [0, 1].
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from safeguards.core.intervals import clopper_pearson
from safeguards.core.verdict import Measurement

__all__ = ["accuracy", "calibration_error", "largest_shift"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BINS = 15
MIN_ROWS = 30  # below this no bound on a calibration error is smaller than 0.2


def calibration_error(confidence: Floats, right: Flags, *, alpha: float = 0.05, bins: int = BINS) -> Measurement:
    """Expected calibration error: 0 where in every bin as many rows are right as the confidence says, 1 at worst.

    ``confidence`` (N,) in [0, 1] is the probability of the class that was predicted, ``right`` (N,) whether it was so.
    The mean over the rows of the distance, bin by bin, between mean confidence and share right (Naeini et al. 2015).

    The estimate is too large on average, since chance alone keeps the two apart. Given the confidences the distance of
    a bin is convex in its share right, so the estimate's mean is at least the true error (Jensen) and at most that plus
    half the root of the rows in each bin, over N; one row moves it by at most 1/N (McDiarmid 1989).
    """
    n = len(right)
    if n == 0:
        return Measurement(value=math.nan, n=0, insufficient="there are no rows")
    if not np.isfinite(confidence).all():
        faulty = int((~np.isfinite(confidence)).sum())
        return Measurement(value=math.nan, n=n, model_fault=f"the outputs of {faulty} of {n} rows are not finite")
    bin_n = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows_b = np.bincount(bin_n, minlength=bins)
    distance_b = np.bincount(bin_n, weights=right - confidence, minlength=bins)
    value = float(np.abs(distance_b).sum() / n)
    by_chance = float(np.sqrt(rows_b).sum() / 2 / n)
    spread = math.sqrt(math.log(2 / alpha) / 2 / n)
    return Measurement(
        value=value,
        n=n,
        interval=(max(0.0, value - by_chance - spread), min(1.0, value + spread)),
        insufficient=f"{n} rows, at least {MIN_ROWS} are needed" if n < MIN_ROWS else None,
        details={"bins": bins, "confidence": 1 - alpha, "by_chance_at_most": by_chance},
    )


def accuracy(right: Flags, *, alpha: float = 0.05) -> Measurement:
    """Share of the rows (N,) that are right, with the exact bounds of Clopper and Pearson; 1 is all of them."""
    n = len(right)
    if n == 0:
        return Measurement(value=math.nan, n=0, insufficient="there are no rows")
    low, high = clopper_pearson(right.sum(), n, alpha)
    return Measurement(value=float(right.mean()), n=n, interval=(float(low), float(high)))


def largest_shift(before: Floats, now: Floats, *, alpha: float = 0.05) -> Measurement:
    """Largest change of the share of any predicted class, from 0 (none) to 1; counts (C,) of rows then and now.

    The bounds hold for all C classes on both sides together.
    """
    n, m = int(before.sum()), int(now.sum())
    if not (n and m):
        return Measurement(value=math.nan, n=min(n, m), insufficient="one of the two sides has no rows")
    each = alpha / (2 * len(before))
    (low_then, high_then), (low_now, high_now) = clopper_pearson(before, n, each), clopper_pearson(now, m, each)
    shift = np.abs(now / m - before / n)
    least = np.maximum(0.0, np.maximum(low_now - high_then, low_then - high_now))
    most = np.maximum(high_now - low_then, high_then - low_now)
    worst = int(shift.argmax())
    return Measurement(
        value=float(shift[worst]),
        n=min(n, m),
        interval=(float(least.max()), float(most.max())),
        note=f"class {worst}: {before[worst] / n:.3f} then, {now[worst] / m:.3f} now",
    )
