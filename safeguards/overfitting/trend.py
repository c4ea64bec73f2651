"""What a single look cannot show: where the gap is going, for how long it has failed, and when the loss was lowest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Patience", "Trend", "slope_per_look"]


def slope_per_look(values: Sequence[float]) -> float | None:
    """Least-squares slope of ``values`` over their index: 0 is level, above 0 the gap grows with every look.

    In the unit of the values per look. None with fewer than two values.
    """
    if len(values) < 2:
        return None
    middle = (len(values) - 1) / 2
    spread = sum((index - middle) ** 2 for index in range(len(values)))
    return sum((index - middle) * value for index, value in enumerate(values)) / spread


@dataclass(kw_only=True)
class Trend:
    """The last ``window`` gaps of each loader."""

    window: int
    gaps: dict[str, list[float]] = field(default_factory=dict)

    def add(self, loader: str, gap: float) -> None:
        self.gaps[loader] = [*self.gaps.get(loader, []), gap][-self.window :]

    def is_first(self, loader: str) -> bool:
        """Whether this is the loader that came first."""
        return loader == next(iter(self.gaps), loader)

    def details(self, loader: str) -> dict[str, Any]:
        """``slope_per_look`` over the looks kept, and how many they are."""
        gaps = self.gaps.get(loader, [])
        return {"slope_per_look": slope_per_look(gaps), "looks_in_slope": len(gaps)}


@dataclass(kw_only=True)
class Patience:
    """Runs out after ``looks`` failing looks in a row; any other look starts the count again."""

    looks: int
    failed: int = 0

    def count(self, failed: bool) -> None:
        self.failed = self.failed + 1 if failed else 0

    @property
    def exhausted(self) -> bool:
        return self.failed >= self.looks

    @property
    def words(self) -> str:
        """How the coming look stands, for the reader of a verdict."""
        return f"reacts after {self.looks} failing looks in a row, {self.failed} before this one"


def plain_memory(trend: Trend, patience: Patience) -> dict[str, Any]:
    return {"gaps": {name: list(gaps) for name, gaps in trend.gaps.items()}, "failed": patience.failed}


def remember(trend: Trend, patience: Patience, memory: Mapping[str, Any]) -> None:
    trend.gaps = {str(name): [float(gap) for gap in gaps] for name, gaps in memory["gaps"].items()}
    patience.failed = int(memory["failed"])
