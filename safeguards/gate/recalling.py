"""A ruling as it is kept, and told again to whoever comes with the same candidate: it is not ruled on twice."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from safeguards.core.canonical import canonical, parse, sha256
from safeguards.core.errors import EvidenceError
from safeguards.gate.following import RULING
from safeguards.gate.history import Entry
from safeguards.gate.judging import Ruling

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry

__all__ = ["recalled", "text_of"]

LONGEST = 20_000


def text_of(ruling: Ruling) -> str:
    """What the tag ``safeguards.ruling`` holds; one that is too long is cut."""
    told = {"admitted": ruling.admitted, "reasons": list(ruling.reasons), "waived": list(ruling.waived)}
    return canonical(told).decode()[:LONGEST]


def recalled(registry: ModelRegistry, entry: Entry) -> Ruling:
    """The ruling of an entry, word for word where the tag still holds the text of which the entry has the digest."""
    tags = next((one.tags for one in registry.versions() if one.number == entry.version), {})
    text = tags.get(RULING, "")
    with suppress(EvidenceError):
        if sha256(text.encode("utf-8", "replace")) == entry.ruling:
            told = parse(text.encode(), what=RULING)
            return Ruling(
                admitted=told["admitted"],
                reasons=tuple(told["reasons"]),
                waived=tuple(told["waived"]),
                expiring=entry.expiring,
            )
    if entry.action == "promoted":
        waived = tuple(f"{measure}: waived until {end}" for measure, end in entry.expiring)
        return Ruling(admitted=True, waived=waived, expiring=entry.expiring)
    reason = f"settled: version {entry.version} was refused on {entry.when}: {entry.why}"
    return Ruling(admitted=False, reasons=(reason,), expiring=entry.expiring)
