"""The two sides of a comparison: rows of batches as a table of numbers, frames as profiles, and the two joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from safeguards.core.rows import Sample
from safeguards.drift.features import PREDICTED_CLASS, PREDICTIONS
from safeguards.drift.profile import Profile, profile

if TYPE_CHECKING:
    import pandas as pd

    from safeguards.core.ranks import Ranks

__all__ = ["RowTable", "Seen", "joined", "settled"]


@dataclass(kw_only=True)
class Seen:
    """What one process saw of one loader: a sample of rows as numbers, and what the model could not say."""

    sample: Sample[Tensor]
    names: list[str] = field(default_factory=list)
    rows: int = 0
    faulty: int = 0
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class RowTable:
    """Rows of batches as numbers: ``values`` float32 (N, F) with one name per column.

    Of ``rows`` seen, ``faulty`` had outputs that say nothing. ``refused`` says why there are no predictions.
    """

    names: Sequence[str]
    values: Tensor
    rows: int = 0
    faulty: int = 0
    refused: str | None = None

    def profile(self, *, sample: int, seed: int) -> Profile:
        """The same as a profile; predictions that were refused are left out."""
        return profile(self._frame(), sample=sample, seed=seed)

    def _frame(self) -> pd.DataFrame:
        import pandas as pd

        frame = pd.DataFrame(self.values.numpy(), columns=list(self.names))
        if self.refused is not None:
            return frame.drop(columns=list(PREDICTIONS), errors="ignore")
        return frame.assign(**{PREDICTED_CLASS: [f"class {int(number)}" for number in frame[PREDICTED_CLASS]]})


def settled(seen: Seen, ranks: Ranks) -> RowTable:
    """All ranks: the sample of all of them, in an order that does not depend on their number."""
    kept = seen.sample.settle(ranks)
    values = torch.stack([item for _, item in kept]) if kept else None
    everywhere = ranks.gather((seen.names, [identity for identity, _ in kept], values, seen.rows, seen.faulty))
    refused = [text for text in ranks.gather(seen.refused) if text is not None]
    identities = [identity for _, ids, *_ in everywhere for identity in ids]
    rows = [row for *_, part, _, _ in everywhere if part is not None for row in part]
    order = sorted(range(len(rows)), key=lambda place: (identities[place], rows[place].tolist()))
    return RowTable(
        names=max((names for names, *_ in everywhere), key=len),
        values=torch.stack([rows[place] for place in order]) if rows else torch.empty(0, 0),
        rows=sum(part[3] for part in everywhere),
        faulty=sum(part[4] for part in everywhere),
        refused=refused[0] if refused else None,
    )


def joined(table: Profile, rows: Profile) -> Profile:
    """The columns of a table and those of batches as one side; where both have a name, the table's stays."""
    import pandas as pd

    sample = pd.concat([table.sample, rows.sample], axis="columns")
    return replace(
        table,
        columns={**rows.columns, **table.columns},
        sample=sample.loc[:, ~sample.columns.duplicated()],
    )
