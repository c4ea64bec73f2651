"""How sure a rate is, and what each of many looks may spend of the doubt that is allowed to all of them.

Pure functions of numbers. ``alpha`` is the probability, in (0, 1), that an interval does not hold the true rate.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "alpha_of_look", "clopper_pearson"]

Floats = npt.NDArray[np.float64]


def alpha_of_look(alpha: float, look: int) -> float:
    """What the ``look``-th look (from 1) may spend: ``alpha * 6 / (pi^2 look^2)``, which adds up to ``alpha``.

    The sum of 1/k^2 over all k is pi^2/6 (Euler 1735), so however many looks a fit takes, and however they depend on
    each other, all of them together are wrong with probability at most ``alpha`` (the union bound).
    """
    return alpha * 6 / (math.pi * look) ** 2


def clopper_pearson(hits: npt.ArrayLike, rows: npt.ArrayLike, alpha: float) -> tuple[Floats, Floats]:
    """Exact two-sided bounds on a rate, ``alpha / 2`` on each side; [0, 1] where there are no rows.

    ``hits`` and ``rows`` have the same shape and so have both results. Source: Clopper and Pearson, Biometrika 26
    (1934), through the quantiles of the beta distribution.
    """
    from scipy.special import betainccinv, betaincinv

    k, n = np.asarray(hits, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    low = np.where(k > 0, betaincinv(k, n - k + 1, alpha / 2), 0.0)
    high = np.where(k < n, betainccinv(k + 1, n - k, alpha / 2), 1.0)
    return low, high
