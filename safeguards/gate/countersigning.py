"""How keys come in and change: a key vouches for a history as it stands, for its records and for their cards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.errors import ConfigurationError, RegistryError
from safeguards.core.files import write_whole
from safeguards.core.signing import SIGNING_KEY, Signer
from safeguards.gate.carding import note_card
from safeguards.gate.following import MOST_ROUNDS, follow, newest_move
from safeguards.gate.history import History
from safeguards.gate.keys import signer_of_entries
from safeguards.gate.record import RECORD
from safeguards.gate.witness import append

if TYPE_CHECKING:
    from datetime import datetime

    from safeguards.tracking import ModelRegistry

__all__ = ["countersign"]


def countersign(registry: ModelRegistry, *, why: str = "", who: str | None = None, now: datetime | None = None) -> int:
    """Vouch with this host's key for a history as it stands and for every record it names; the entry's number.

    For keys that are introduced, and for a key in place of another. From the entry on, each must be signed by a trusted
    key; for those before it, the digest in it speaks. Look at the history first: what is in it counts from then on.

    Raises `ConfigurationError` without a signing key that is trusted, `RegistryError` where there is nothing to vouch
    for, or an entry was edited or left out.
    """
    signer = signer_of_entries()
    if signer is None:
        raise ConfigurationError(f"countersign() needs a key; set {SIGNING_KEY} to the file of a private key")
    for _ in range(MOST_ROUNDS):
        history = History.sound(registry, whoever=True)
        move = newest_move(history)
        if move is None:
            raise RegistryError(f"{registry.name!r} has no history yet: what the gate writes from now on is signed")
        for record in dict.fromkeys(entry.record for entry in history.entries if entry.version):
            _sign(registry, record, signer)
            note_card(registry, record, signer)
        about = {"after": history.champion, "version": move.version, "record": move.record}
        entry = history.next_by_hand("countersigned", now=now, who=who, why=why, **about)
        if append(registry, entry, signer):
            follow(registry, move)
            return entry.number
    raise RegistryError(f"{MOST_ROUNDS} times another host was faster; run it again")


def _sign(registry: ModelRegistry, record: str, signer: Signer) -> None:
    """The history names the digest; a file that does not give it is refused whoever signed."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, f"{RECORD}.sig")
        write_whole(file, signer.sign(record))
        registry.attach(record, file)
