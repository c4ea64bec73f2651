"""The cards of a registered model's versions, from what the registry and the gate's history hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.card.card import CardParts, write_card
from safeguards.card.stated import Stated
from safeguards.core.errors import ConfigurationError, EvidenceError, SafeguardError
from safeguards.gate import Candidate, Entry, History, Record, Ruling, Verifier
from safeguards.gate.following import RECORD

if TYPE_CHECKING:
    from safeguards.tracking import RegisteredModel, RunReader

__all__ = ["RECORD", "VersionCard", "told_of", "write_cards"]


@dataclass(frozen=True, kw_only=True)
class VersionCard:
    """The card of a version: its file, or why there is none."""

    version: int
    path: Path | None
    problem: str = ""


def write_cards(
    registry: RegisteredModel,
    folder: Path | str,
    *,
    newest: int = 5,
    stated: Stated | None = None,
    reader: RunReader | None = None,
    links: str | None = None,
) -> list[VersionCard]:
    """Write the cards of the newest versions and of the champion into ``<folder>/<model>-<version>.html``.

    Where the evidence refuses a card, an earlier one of the version is removed; where store or disk fails, it stays.

    Raises:
        ConfigurationError: when ``newest`` is below 0.
        RegistryError: when the store fails, or the history was changed.

    """
    if newest < 0:
        raise ConfigurationError(f"write_cards(newest={newest}): expected 0 or more")
    history = History.sound(registry)
    made = []
    for version, digest in _asked(registry, history, newest):
        path = Path(folder) / f"{registry.name}-{version}.html"
        try:
            record, parts = told_of(registry, history, digest)
            parts["stated"], parts["reader"], parts["links"] = stated, reader, links
            write_card(path, record, **parts)
            made.append(VersionCard(version=version, path=path))
        except (SafeguardError, LookupError) as error:
            if isinstance(error, (EvidenceError, LookupError)):  # refused: what the card told holds no more
                path.unlink(missing_ok=True)
            made.append(VersionCard(version=version, path=None, problem=str(error.args[0])))
    return made


def told_of(registry: RegisteredModel, history: History, digest: str) -> tuple[Record, CardParts]:
    """A record out of the registry, and what its card takes beside it. Raises `EvidenceError`."""
    record = Candidate.fetch_record(registry, digest)
    champion = None if record.champion is None else Candidate.fetch_record(registry, record.champion)
    signed = Verifier.configured() is not None
    return record, {"champion": champion, "ruling": _ruling(history, digest), "history": history, "signed": signed}


def _asked(registry: RegisteredModel, history: History, newest: int) -> Iterator[tuple[int, str]]:
    """Number and record of each version, oldest first; those that no record is of have no evidence."""
    known = [(one.number, one.tags[RECORD]) for one in registry.versions() if RECORD in one.tags]
    last = {number for number, _ in known[-newest:]} if newest else set()
    yield from ((number, digest) for number, digest in known if number in last | {history.champion})


def _ruling(history: History, digest: str) -> Ruling | None:
    """As the history tells it: tags of a version can be set by anyone. None where the gate has not ruled."""
    ruled = [entry for entry in history.about(digest) if entry.is_ruling]
    if not ruled:
        return None
    entry: Entry = ruled[-1]
    return Ruling(
        admitted=entry.action == "promoted",
        reasons=() if entry.action == "promoted" else (entry.why,),
        waived=tuple(f"{name}: by a waiver until {end}" for name, end in entry.expiring),
        version=entry.version,
    )
