"""Who asks the gate; and what is written of a candidate that is turned away before it ever gets a version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from safeguards.core.canonical import sha256
from safeguards.core.errors import RegistryError
from safeguards.gate.following import MOST_ROUNDS
from safeguards.gate.history import Entry, History
from safeguards.gate.judging import Ruling
from safeguards.gate.keys import signer_of_entries
from safeguards.gate.policy import Policy
from safeguards.gate.witness import append

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry

__all__ = ["Asker", "why_of"]

OF_THE_DAY = re.compile(r"\S*[\d/\\]\S*")


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Of which model and under which policy; by whom, when and why."""

    registry: ModelRegistry
    policy: Policy
    moment: datetime
    who: str
    why: str

    @property
    def when(self) -> str:
        """As an entry has it."""
        return self.moment.astimezone(UTC).isoformat(timespec="seconds")

    def turn_away(self, *reasons: str, record: str = "", file: str = "") -> Ruling:
        """Refuse with these reasons, and write so into the history. It settles nothing: it may be asked again.

        The same challenger, by its ``record`` or the digest of the ``file`` that could not be read as one, is not
        written twice for the same reason, the first, but for words with a digit or a slash: those may be a number, an
        address or a folder of the day. Of a model that the store does not know nothing is written.
        """
        ruling = Ruling(admitted=False, reasons=reasons)
        for _ in range(MOST_ROUNDS):
            history = History.sound(self.registry)
            if not (history.entries or self.registry.versions()):
                return ruling
            entry = self._entry(history, ruling, record, file)
            if any(_same(one, entry) for one in history.entries):
                return ruling
            if append(self.registry, entry, signer_of_entries()):
                return ruling
        raise RegistryError(f"{MOST_ROUNDS} times another host was faster; run it again")

    def _entry(self, history: History, ruling: Ruling, record: str, file: str) -> Entry:
        kind = OF_THE_DAY.sub("", ruling.reasons[0])
        return history.next(
            when=self.when,
            who=self.who,
            action="turned away",
            why=why_of(ruling, self.why),
            before=history.champion,
            after=history.champion,
            version=0,
            record=record,
            policy=self.policy.digest,
            ruling=sha256(f"{kind} {file}".encode()),
        )


def why_of(ruling: Ruling, why: str) -> str:
    """What the history says of a refusal: every reason, and why somebody asked."""
    reasons = "; ".join(ruling.reasons)
    return f"{reasons} ({why})" if why else reasons


def _same(one: Entry, other: Entry) -> bool:
    held = [(each.action, each.record, each.policy, each.before, each.ruling) for each in (one, other)]
    return held[0] == held[1]
