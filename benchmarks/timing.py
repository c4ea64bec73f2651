"""Timing that survives a machine with other work: contenders take turns, and medians are compared."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

__all__ = ["Result", "in_rounds", "in_turns", "median_interval", "quartiles", "seconds"]

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One benchmark: a table, the target it is held against, and what a reader must know to believe it."""

    title: str
    target: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: list[str] = field(default_factory=list)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(contenders: Mapping[Name, Callable[[], float]], *, times: int) -> dict[Name, float]:
    """Median over ``times`` rounds of what each contender returns; a round asks each once, in alternating order."""
    return {name: statistics.median(values) for name, values in in_rounds(contenders, times=times).items()}


def in_rounds(contenders: Mapping[Name, Callable[[], float]], *, times: int) -> dict[Name, list[float]]:
    """What each contender returns in each of ``times`` rounds, which ask each once, in alternating order."""
    found: dict[Name, list[float]] = {name: [] for name in contenders}
    for turn in range(times):
        names = list(contenders) if turn % 2 == 0 else list(reversed(contenders))
        for name in names:
            found[name].append(contenders[name]())
    return found


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; values between two are interpolated."""
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Lowest and highest value that bound the true median, and how surely: at least ``confidence`` where n allows.

    The sign test turned round: each value lies below the median with probability 1/2, whatever the spread is like. Six
    values are the fewest that reach 95 %.
    """
    ordered, n = sorted(values), len(values)
    surely = [1 - 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n for k in range((n + 1) // 2)]
    k = max((k for k, sure in enumerate(surely) if sure >= confidence), default=0)
    return ordered[k], ordered[n - 1 - k], surely[k]
