"""Who made which model champion, when, why, and in place of which: each entry holds the digest of the one before.

An entry is written once and never again. One that was edited or left out breaks the chain; with a signing key each is
signed too, and then nobody without the key can write a chain of his own.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from safeguards.core.canonical import canonical, digest_of, parse, sha256
from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.core.redact import known_secrets, redact
from safeguards.core.signing import Signer, Verifier
from safeguards.gate.witness import Witness

if TYPE_CHECKING:
    from safeguards.tracking import RegisteredModel

__all__ = ["Entry", "History", "myself"]

Action = Literal["promoted", "refused", "turned away", "rolled back", "countersigned"]
TURNED_AWAY = "turned away"
LONGEST_WHY = 1500
LONGEST_WHO = 200
LONGEST_EXPIRING = 2500
"""So that an entry fits where it is kept, whatever its texts hold."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """``before`` and ``after`` are the champion's versions, the same where a challenger was refused.

    ``version`` and ``record`` are of the model that it is about, ``policy`` is the digest of the policy that ruled.
    ``expiring`` gives the end of each waiver that was used. ``nonce`` keeps the entries of two writers apart. ``model``
    is the registered model's name, ``ruling`` the digest of the tag with all reasons, ``key`` that of
    data and configuration; entries of earlier versions have none. What was turned away never got a version, which is 0
    then, its ``record`` is empty where none could be read, and ``ruling`` is the digest of the kind of refusal and of
    the file that could not be read.
    """

    number: int
    when: str
    who: str
    action: Action
    why: str
    before: int | None
    after: int | None
    version: int
    record: str
    policy: str
    previous: str
    expiring: tuple[tuple[str, str], ...] = ()
    nonce: str = ""
    model: str | None = None
    ruling: str | None = None
    key: str | None = None

    @property
    def digest(self) -> str:
        """What the next entry holds as ``previous``."""
        return digest_of(self.to_dict())

    @property
    def is_ruling(self) -> bool:
        """Whether it says of a record that it was promoted or refused."""
        return self.action in ("promoted", "refused")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {name: part for name, part in plain.items() if name not in LATER or part is not None}
        return plain | {"expiring": [list(pair) for pair in self.expiring]}

    def text(self, signer: Signer | None) -> str:
        """The entry as it is written."""
        signature = None if signer is None else signer.sign(self.digest).decode().strip()
        return canonical({"digest": self.digest, "entry": self.to_dict(), "signature": signature}).decode()


@dataclass(frozen=True, kw_only=True)
class History:
    """The entries that can be read, and one sentence for each thing that is wrong with them or where they are kept."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]
    model: str | None = None

    @classmethod
    def of(cls, texts: Sequence[str], *, verifier: Verifier | None = None, model: str | None = None) -> History:
        """Read entries as a registry holds them; with ``model``, none may be of another."""
        entries: list[Entry] = []
        problems: list[str] = []
        previous = START
        signed_from = _signed_from(texts, verifier)
        for number, text in enumerate(texts, 1):
            try:
                entry = _read(text, verifier if number >= signed_from else None)
            except EvidenceError as error:
                problems.append(f"entry {number}: {error}")
                previous = sha256(text.encode("utf-8", "replace"))
                continue
            if entry.number != number or entry.previous != previous:
                problems.append(f"entry {number} does not follow the one before it: one was edited or left out")
            if entry.model is not None and model not in (None, entry.model):
                problems.append(f"entry {number} is of the model {entry.model[:100]!r}, not of {model!r}")
            entries.append(entry)
            previous = entry.digest
        return cls(entries=tuple(entries), problems=tuple(problems), model=model)

    @classmethod
    def read(cls, registry: RegisteredModel, *, whoever: bool = False) -> History:
        """The history of a registered model, held against what this host saw of it before, and checked against the keys
        that are trusted here unless ``whoever`` may have signed it.
        """
        texts, witness = registry.history(), Witness.of(registry)
        found = cls.of(texts, verifier=None if whoever else Verifier.configured(), model=registry.name)
        problems = (*registry.home_problems(), *found.problems, *witness.problems(texts))
        if texts and not problems and not whoever:
            witness.remember(len(texts), texts[-1])
        return replace(found, problems=problems)

    @classmethod
    def sound(cls, registry: RegisteredModel, *, whoever: bool = False) -> History:
        """As `read`. Raises `RegistryError` where it was changed."""
        history = cls.read(registry, whoever=whoever)
        if history.problems:
            raise RegistryError(
                f"the history of {registry.name!r} was changed: {history.problems[0]}; see safeguards audit"
            )
        return history

    @property
    def champion(self) -> int | None:
        """The version that is champion by the last entry."""
        return self.entries[-1].after if self.entries else None

    @property
    def champions(self) -> list[int]:
        """Every version that was ever champion, oldest first, each once."""
        return list(dict.fromkeys(entry.after for entry in self.entries if entry.after is not None))

    def about(self, record: str) -> list[Entry]:
        """The entries on the model of this record."""
        return [entry for entry in self.entries if entry.record == record]

    def attempts(self, *, other_than: str, now: datetime, days: float) -> int:
        """How many candidates met a champion in the ``days`` before ``now``, but for that of the record ``other_than``.

        One that comes again counts once more only where there was another champion to beat. A training on the same
        data with other code or packages is a candidate of its own: it may be the lucky one.
        """
        earliest = now - timedelta(days=days)
        ruled = [entry for entry in self.entries if entry.is_ruling and _after(entry.when, earliest)]
        met = {(entry.record, entry.before) for entry in ruled if entry.before is not None}
        return len(met - {(other_than, self.champion)})

    def next_by_hand(self, action: Action, *, now: datetime | None, who: str | None, **parts: Any) -> Entry:
        """As `next`, for what somebody does without a policy: by this user and at this moment, unless it is told."""
        return self.next(
            **parts,
            when=(now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
            who=who or myself(),
            action=action,
            before=self.champion,
            policy="",
        )

    def next(self, **parts: Any) -> Entry:
        """The entry that would follow."""
        previous = self.entries[-1].digest if self.entries else START
        told = {"why": _short(parts["why"], LONGEST_WHY), "who": _short(parts["who"], LONGEST_WHO)}
        return Entry(
            **{**parts, **told},
            number=len(self.entries) + 1,
            previous=previous,
            model=self.model,
            nonce=secrets.token_hex(4),
        )


LATER = ("model", "ruling", "key")
"""Parts that entries of earlier versions lack."""
START = "0" * 64
"""What the first entry follows."""


def myself() -> str:
    """Who runs this process, as far as the system tells: user and host."""
    user = "unknown"
    with suppress(Exception):  # a container's user may have no name
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def _short(text: str, longest: int) -> str:
    """One line of what can be printed, without secrets."""
    clean = redact(" ".join(text.split()), known_secrets(os.environ))
    return "".join(letter if letter.isprintable() else "?" for letter in clean)[:longest]


def _signed_from(texts: Sequence[str], verifier: Verifier | None) -> int:
    """The newest entry by which a trusted key vouches for all before it; the first, where there is none."""
    for number in range(len(texts), 0, -1):
        with suppress(EvidenceError):
            if verifier is not None and _read(texts[number - 1], verifier).action == "countersigned":
                return number
    return 1


def _read(text: str, verifier: Verifier | None) -> Entry:
    content = text.encode("utf-8", "replace")
    held = parse(content, what="it")
    try:
        data = dict(held["entry"])
        entry = Entry(**{**data, "expiring": tuple((str(a), str(b)) for a, b in data["expiring"])})
        whole = canonical({**held, "entry": entry.to_dict()}) == content and set(held) in (KEYS, FORMER_KEYS)
    except (KeyError, TypeError, ValueError):
        raise EvidenceError("it is no entry of a history") from None
    if not whole or not _is_plausible(entry):
        raise EvidenceError("it is no entry of a history")
    if held.get("digest", None if entry.model else entry.digest) != entry.digest:
        raise EvidenceError("it was edited: its text does not give its digest")
    if verifier is not None:
        if held["signature"] is None:
            raise EvidenceError(
                "it is not signed; if keys came after it, read the history and run safeguards countersign"
            )
        signature = f"{held['signature']}\n".encode()
        verifier.check_bytes(entry.digest, signature, what=f"the signature of entry {entry.number}")
    return entry


KEYS = {"digest", "entry", "signature"}
FORMER_KEYS = {"entry", "signature"}
"""Of entries that do not name their model."""


def _is_plausible(entry: Entry) -> bool:
    numbers = (entry.number, *(one for one in (entry.before, entry.after) if one is not None))
    lowest = 0 if entry.action == TURNED_AWAY else 1
    texts = (entry.when, entry.who, entry.why, entry.record, entry.policy, entry.previous)
    return (
        all(type(number) is int and number > 0 for number in numbers)
        and type(entry.version) is int
        and entry.version >= lowest
        and all(isinstance(one, str) for one in texts)
        and all(isinstance(getattr(entry, name), (str, type(None))) for name in LATER)
        and entry.action in get_args(Action)
    )


def _after(when: str, moment: datetime) -> bool:
    """What has no moment counts as recent."""
    try:
        return datetime.fromisoformat(when) >= moment
    except (ValueError, TypeError):
        return True
