"""Two deliveries side by side: is the schema still the same, and have the columns drifted?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safeguards.core.arguments import check_shares, check_whole
from safeguards.core.errors import DataRefused
from safeguards.core.limit import Limit
from safeguards.core.verdict import Measurement
from safeguards.drift import Comparison, Profile, compare_once, measured, profile, read_file
from safeguards.retraining.intake import Delivery

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Look", "lacking"]

MIN_SAMPLE = 30


@dataclass(frozen=True, kw_only=True)
class Look:
    """What to compare, and from where on it matters.

    ``limit`` is on the share of the columns that drifted; ``leave_out`` names columns that identify rows, or that are
    always new; ``sample`` rows of each side are compared at ``alpha``, where the distance is at least ``min_effect``.
    """

    limit: Limit
    leave_out: Sequence[str] = ()
    sample: int = 5000
    alpha: float = 0.05
    min_effect: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole(self, MIN_SAMPLE, sample=self.sample)
        check_shares(self, alpha=self.alpha, min_effect=self.min_effect)

    def compare(
        self, before: Delivery, now: Delivery, *, but: Sequence[str] = ()
    ) -> tuple[Mapping[str, Comparison], Measurement]:
        """Every column, ``but`` some more, and the share that drifted. Raises `DataRefused` where files do not fit."""
        reference, current = (self._profile(side, {*self.leave_out, *but}) for side in (before, now))
        found = compare_once(reference, current, alpha=self.alpha, min_effect=self.min_effect)
        rules = {"alpha": self.alpha, "min_effect": self.min_effect, "seed": self.seed}
        return found, measured(found, reference, current, rules=rules)

    def _profile(self, delivery: Delivery, left_out: set[str]) -> Profile:
        import pandas as pd

        sources = [read_file(path) for path in delivery.paths]
        names = [list(source.frame.columns) for source in sources]
        if any(other != names[0] for other in names):
            raise DataRefused(f"{delivery.folder}: its files differ in their columns; deliver each kind by itself")
        whole: pd.DataFrame = pd.concat([source.frame for source in sources], ignore_index=True)
        kept = [str(name) for name in whole.columns if str(name) not in left_out]
        loose = any(source.loose for source in sources)
        return profile(whole, sample=self.sample, seed=self.seed, columns=kept, loose=loose)


def lacking(delivery: Delivery, columns: Sequence[str]) -> dict[str, bool]:
    """Those of these columns, such as labels that come later, that the delivery does not have in every row; by name,
    whether it has them in some.
    """
    import pandas as pd

    if not columns:
        return {}
    sources = [read_file(path).frame.reindex(columns=list(columns)) for path in delivery.paths]
    there = pd.concat(sources, ignore_index=True).notna()
    return {name: bool(there[name].any()) for name in columns if not there[name].all()}
