"""The two sides of a comparison: rows of batches as a table of numbers, frames as profiles, and the two joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from safeguards.drift.features import PREDICTED_CLASS, PREDICTIONS, levelled
from safeguards.drift.profile import Profile, number_column, profile, refuse_repeated
from safeguards.drift.sample import RowSample

if TYPE_CHECKING:
    import pandas as pd

    from safeguards.core.ranks import Ranks

__all__ = ["RowTable", "Seen", "joined", "on_one_grid", "settled"]


@dataclass(kw_only=True)
class Seen:
    """What one process saw of one loader: a sample of rows as numbers, and what the model could not say.

    ``outputs`` name the columns of the submodule's ``width`` numbers; ``own`` says that they were the model's own
    outputs wherever both were seen.
    """

    sample: RowSample
    names: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    width: int = 0
    own: bool = True
    rows: int = 0
    faulty: int = 0
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class RowTable:
    """Rows of batches as numbers: ``values`` float32 (n, F) with one name per column, a sample of ``rows`` rows.

    ``outputs`` name the columns of the submodule's ``width`` numbers; ``own``: they are the model's own outputs. Of the
    rows, ``faulty`` had outputs that say nothing. ``refused`` says why "predictions" or "outputs" are not compared.
    """

    names: Sequence[str]
    values: Tensor
    outputs: Sequence[str] = ()
    width: int = 0
    own: bool = False
    rows: int = 0
    faulty: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)

    def refuse(self, **why: str) -> RowTable:
        """The same without these; a reason that is there stays."""
        kept = replace(self, refused={**why, **self.refused})
        return kept._without(self.outputs) if "outputs" in why else kept

    def _without(self, outputs: Sequence[str]) -> RowTable:
        places = [place for place, name in enumerate(self.names) if name not in set(outputs)]
        values = self.values[:, places] if len(self.values) else self.values
        return replace(self, names=[self.names[place] for place in places], outputs=(), values=values)

    def profile(self, *, sample: int, seed: int) -> Profile:
        """The same as a profile; what was refused is left out. Raises `NotApplicable` for two columns with one name."""
        refuse_repeated(self.names)
        frame = self._frame()
        if len(frame) > sample:
            return replace(profile(frame, sample=sample, seed=seed), rows=self.rows)
        words = profile(frame[[name for name in frame if name == PREDICTED_CLASS]], sample=sample).columns
        arrays = {name: self.values[:, place].numpy() for place, name in enumerate(self.names) if name in frame}
        columns = {name: words.get(name) or number_column(array) for name, array in arrays.items()}
        return Profile(rows=self.rows, columns=columns, sample=frame)

    def _frame(self) -> pd.DataFrame:
        import pandas as pd

        frame = pd.DataFrame(self.values.numpy(), columns=list(self.names))
        if "predictions" in self.refused:
            return frame.drop(columns=list(PREDICTIONS), errors="ignore")
        return frame.assign(**{PREDICTED_CLASS: [f"class {int(number)}" for number in frame[PREDICTED_CLASS]]})


def settled(seen: Seen, ranks: Ranks) -> RowTable:
    """All ranks: the sample of all of them, in an order that does not depend on their number."""
    ids, values = seen.sample.settle(ranks)
    parts = ranks.gather((replace(seen, sample=RowSample(k=1)), ids, values))
    told = max((part for part, *_ in parts), key=lambda part: len(part.names))
    refused = [part.refused for part, *_ in parts if part.refused is not None]
    filled = [(ids, values) for _, ids, values in parts if len(ids)]
    return RowTable(
        names=told.names,
        outputs=told.outputs,
        width=told.width,
        values=_by_identity(*map(torch.cat, zip(*filled, strict=True))) if filled else torch.empty(0, 0),
        own=all(part.own for part, *_ in parts),
        rows=sum(part.rows for part, *_ in parts),
        faulty=sum(part.faulty for part, *_ in parts),
        refused={"predictions": refused[0]} if refused else {},
    )


def _by_identity(ids: Tensor, values: Tensor) -> Tensor:
    """Rows in the order of their identities; where two share one, in that of their values."""
    ordered, places = ids.sort(stable=True)
    if bool((ordered[1:] != ordered[:-1]).all()):
        return values[places]
    return values[sorted(range(len(ids)), key=lambda place: (int(ids[place]), values[place].tolist()))]


def on_one_grid(reference: RowTable, current: RowTable) -> tuple[RowTable, RowTable]:
    """Both sides with their outputs `levelled`."""
    if not current.outputs:
        return reference, current
    places = [list(current.names).index(name) for name in current.outputs]
    sides = []
    for side, level in zip(
        (reference, current), levelled(reference.values[:, places], current.values[:, places]), strict=True
    ):
        values = side.values.clone()
        values[:, places] = level
        sides.append(replace(side, values=values))
    return sides[0], sides[1]


def joined(table: Profile, rows: Profile) -> Profile:
    """The columns of a table and those of batches as one side; where both have a name, the table's stays."""
    import pandas as pd

    sample = pd.concat([table.sample, rows.sample], axis="columns")
    return replace(
        table,
        columns={**rows.columns, **table.columns},
        sample=sample.loc[:, ~sample.columns.duplicated()],
    )
