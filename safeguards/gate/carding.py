"""The model card beside a record: a note on its version says which bytes were written, signed where there is a key."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.canonical import canonical, digest_of, parse
from safeguards.core.errors import ConfigurationError, EvidenceError
from safeguards.core.files import digest_of_file
from safeguards.core.signing import CARDS, Verifier
from safeguards.gate.candidate import CARD
from safeguards.gate.following import RECORD
from safeguards.gate.keys import signer_of_entries

if TYPE_CHECKING:
    from safeguards.core.signing import Signer
    from safeguards.tracking import ModelRegistry
    from safeguards.tracking.registered import Version

__all__ = ["NOTE", "attach_card", "card_problems", "note_card"]

NOTE = "safeguards.card"


def attach_card(registry: ModelRegistry, record: str, file: Path | str) -> None:
    """Store ``card.html`` beside the record of this digest, and note its own digest; a later card replaces it.

    Raises `ConfigurationError` for a file of another name, and where keys are trusted and this host's is none of them;
    `EvidenceError` where the file cannot be read.
    """
    file = Path(file)
    if file.name != CARD:
        raise ConfigurationError(f"attach_card(file={file.name!r}): expected a file of the name {CARD}")
    signer, (_, card) = signer_of_entries(), digest_of_file(file)
    registry.attach(record, file)
    _note(registry, record, card, signer)


def note_card(registry: ModelRegistry, record: str, signer: Signer) -> None:
    """Vouch with a key for the card as it lies there, if one does."""
    card = _stored(registry, record)
    if card is not None:
        _note(registry, record, card, signer)


def _note(registry: ModelRegistry, record: str, card: str, signer: Signer | None) -> None:
    signature = None if signer is None else signer.sign(_signed(record, card), CARDS).decode().strip()
    note = canonical({"card": card, "signature": signature}).decode()
    for version in registry.versions():
        if version.tags.get(RECORD) == record:
            registry.tag(version.number, {NOTE: note})


def card_problems(registry: ModelRegistry, version: Version, record: str) -> Iterator[str]:
    """A sentence where the card beside a record is not the one that was attached, or is gone."""
    card, note = _stored(registry, record), version.tags.get(NOTE)
    if note is None:
        if card is not None:
            yield f"its {CARD} was not attached by attach_card, or the tag {NOTE} is gone: attach it again"
        return
    try:
        _check(note.encode("utf-8", "replace"), record, card)
    except EvidenceError as error:
        yield f"{error}: attach its card again, if it was not planted"


def _check(note: bytes, record: str, card: str | None) -> None:
    held = parse(note, what=f"the tag {NOTE}")
    if not isinstance(held, dict) or set(held) != {"card", "signature"}:
        raise EvidenceError(f"the tag {NOTE} is no note of a card")
    if card is None:
        raise EvidenceError(f"its {CARD} is gone")
    if card != held["card"]:
        raise EvidenceError(f"its {CARD} was changed after it was attached")
    verifier = Verifier.configured()
    if verifier is not None:
        signature = f"{held['signature']}\n".encode()
        verifier.check_bytes(_signed(record, card), signature, what=f"the signature of its {CARD}", purpose=CARDS)


def _signed(record: str, card: str) -> str:
    """A note of another record's card is none of this one's."""
    return digest_of({"card": card, "record": record})


def _stored(registry: ModelRegistry, record: str) -> str | None:
    with tempfile.TemporaryDirectory() as place:
        registry.fetch(record, [CARD], Path(place))
        file = Path(place, CARD)
        return digest_of_file(file)[1] if file.exists() else None
