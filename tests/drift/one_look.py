"""All columns of two sides compared as one family at one look."""

from __future__ import annotations

from collections.abc import Sequence

from safeguards.drift.findings import Comparison, compare, compared
from safeguards.drift.looks import Family
from safeguards.drift.profile import Profile

__all__ = ["compare_once"]


def compare_once(
    reference: Profile, current: Profile, *, alpha: float = 0.05, columns: Sequence[str] | None = None
) -> dict[str, Comparison]:
    family = Family(columns=compared(reference, current, columns), digest="", look=1, alpha=alpha)
    return compare(reference, current, families=[family], min_effect=0.1, columns=columns)
