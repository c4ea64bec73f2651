"""How far this host saw a history: entries that are cut off in the store are missed here, where no database reaches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.canonical import LARGEST_WHOLE, canonical, parse, sha256
from safeguards.core.errors import EvidenceError
from safeguards.core.files import read_whole, write_whole
from safeguards.core.names import encode

if TYPE_CHECKING:
    from safeguards.core.signing import Signer
    from safeguards.gate.history import Entry
    from safeguards.tracking import ModelRegistry, RegisteredModel

__all__ = ["Witness", "append"]

log = logging.getLogger(__name__)

LARGEST = 10_000


@dataclass(frozen=True)
class Witness:
    """``file`` keeps how many entries this host saw, and the digest of the newest; None remembers nothing."""

    file: Path | None

    @classmethod
    def of(cls, registry: RegisteredModel) -> Witness:
        """In the folder that the registry was given, if it was given one."""
        folder = registry.witness
        return cls(None if folder is None else folder / f"{encode(registry.name)}.seen")

    def problems(self, texts: Sequence[str]) -> Iterator[str]:
        """A sentence where the entries are not those that were seen, or fewer."""
        try:
            count, digest = self._seen()
        except EvidenceError as error:
            yield f"{error}; look at the history, then remove that file"
            return
        if len(texts) < count:
            yield f"it has {len(texts)} entries, and this host saw {count}: the newest were cut off; {self._remedy}"
        elif count and _digest(texts[count - 1]) != digest:
            yield f"entry {count} is not the one that this host saw; {self._remedy}"

    def remember(self, number: int, text: str) -> None:
        """That the entry of this number was seen. A disk that is full costs a line in the log."""
        if self.file is None:
            return
        try:
            if self._seen()[0] < number:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self.file, canonical({"entries": number, "newest": _digest(text)}) + b"\n")
        except (OSError, EvidenceError) as error:
            log.warning("what was seen of the history cannot be kept in %s: %s", self.file, error)

    def _seen(self) -> tuple[int, str]:
        """Raises `EvidenceError` for a file that `remember` did not write; that is not the same as nothing seen."""
        if self.file is None or _is_missing(self.file):
            return 0, ""
        held = parse(read_whole(self.file, at_most=LARGEST), what=str(self.file))
        count, digest = (held.get("entries"), held.get("newest")) if isinstance(held, dict) else (None, None)
        if type(count) is not int or not 0 < count <= LARGEST_WHOLE or not isinstance(digest, str):
            raise EvidenceError(f"{self.file} does not say what was seen")
        return count, digest

    @property
    def _remedy(self) -> str:
        return f"where it is another store, or one from a backup, on purpose, remove {self.file}"


def append(registry: ModelRegistry, entry: Entry, signer: Signer | None) -> bool:
    """Write an entry and remember it: True for one writer of all hosts, False where another was faster."""
    text = entry.text(signer)
    written = registry.append(entry.number, text)
    if written:
        Witness.of(registry).remember(entry.number, text)
    return written


def _is_missing(file: Path) -> bool:
    """Not so where it cannot be looked for, or is a link that leads nowhere."""
    try:
        file.lstat()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise EvidenceError(f"cannot read {file}: {error.strerror or error}") from None
    return False


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace"))
