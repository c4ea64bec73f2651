"""Timing that survives a machine with other work: contenders take turns, and medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Result", "in_turns", "seconds"]


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


def in_turns(contenders: Mapping[str, Callable[[], float]], *, times: int) -> dict[str, float]:
    """Median over ``times`` rounds of what each contender returns; a round asks each once, in alternating order."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(times):
        names = list(contenders) if turn % 2 == 0 else list(reversed(contenders))
        for name in names:
            found[name].append(contenders[name]())
    return {name: statistics.median(values) for name, values in found.items()}
