"""What each look may spend of ``alpha``: new data may mislead anew, the same data give the same answer again.

Inputs, predictions and a submodule's outputs are judged apart, each family with a part of ``alpha`` of its own. A
family whose data on both sides are those of its last look is judged as it was then; one that has new data spends as the
look does at which they came (`alpha_of_look`). So however many looks there are, where nothing drifted all of them
together call a column drifted with probability at most ``alpha``: a union bound over the looks with new data, and over
the families.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safeguards.core.intervals import alpha_of_look
from safeguards.drift.profile import Column, Profile

if TYPE_CHECKING:
    from safeguards.drift.findings import Comparison
    from safeguards.drift.measures import Effect

__all__ = ["Family", "Looks", "Repeated"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Columns that are judged together at ``alpha``, as at ``look``, when their data were new."""

    columns: Collection[str]
    digest: str
    look: int
    alpha: float

    def plain(self) -> dict[str, Any]:
        """For the details of a verdict."""
        return {"look": self.look, "alpha": self.alpha}


class Looks:
    """By place (a stage and loader) and family: the data of the last look, and the look at which they were new."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, tuple[str, int]]] = {}

    def family(
        self,
        name: str,
        columns: Collection[str],
        sides: tuple[Profile, Profile],
        *,
        place: str,
        look: int,
        alpha: float,
    ) -> Family:
        """How to judge the family ``name`` at this ``look`` (from 1), where all looks together may spend ``alpha``."""
        digest = _digest(columns, sides)
        before, since = self._known.get(place, {}).get(name, ("", look))
        since = since if before == digest and since <= look else look
        return Family(columns=columns, digest=digest, look=since, alpha=alpha_of_look(alpha, since))

    def note(self, place: str, judged: Mapping[str, Family]) -> None:
        """All ranks: these families were judged."""
        known = {name: (family.digest, family.look) for name, family in judged.items()}
        self._known[place] = self._known.get(place, {}) | known

    def memory(self) -> dict[str, Any]:
        """Plain values, for a checkpoint and for the other ranks."""
        return {place: {name: list(seen) for name, seen in known.items()} for place, known in self._known.items()}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take over what `memory` gave."""
        self._known = {
            str(place): {str(name): (str(digest), int(look)) for name, (digest, look) in known.items()}
            for place, known in memory.items()
        }


class Repeated:
    """The effects of the last look by place and family: the same data are not tested again."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[str, dict[str, Sequence[Effect]]]] = {}

    def known(self, place: str, families: Mapping[str, Family]) -> dict[str, Sequence[Effect]]:
        """Effects by column, of the families whose data are those of the last look."""
        last = {name: self._last.get((place, name), ("", {})) for name in families}
        return {
            column: effects
            for name, (digest, kept) in last.items()
            if digest == families[name].digest
            for column, effects in kept.items()
        }

    def keep(self, place: str, families: Mapping[str, Family], found: Mapping[str, Comparison]) -> None:
        """These were found now."""
        for name, family in families.items():
            self._last[place, name] = family.digest, {column: found[column].effects for column in family.columns}


def _digest(columns: Collection[str], sides: tuple[Profile, Profile]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in columns:
        for side in sides:
            digest.update(name.encode(errors="surrogatepass") + _bits(side.columns.get(name)))
    return digest.hexdigest()


def _bits(column: Column | None) -> bytes:
    """All that a comparison reads of a column."""
    if column is None:
        return b"absent"
    told = f"{column.kind},{column.rows},{column.gaps},{column.infinities},{len(column.values)};".encode()
    if column.values.dtype != object:
        return told + column.values.tobytes()
    return told + b"".join(f"{len(word)}:{word}".encode(errors="surrogatepass") for word in column.values)
