"""A folder that may be promoted: ``record.json``, its signature, and the stored model in ``model/``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.errors import EvidenceError
from safeguards.core.signing import Verifier
from safeguards.gate.record import RECORD, Record
from safeguards.gate.stored import DESCRIPTION, FILES, StoredModel

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry, RegisteredModel

__all__ = ["MODEL_FOLDER", "Candidate"]

MODEL_FOLDER = "model"
SEALED = (RECORD, f"{RECORD}.sig", f"{MODEL_FOLDER}/{DESCRIPTION}")
EVERY = (*SEALED, *(f"{MODEL_FOLDER}/{name}" for name in FILES))
MOST_NAMED = 5
CARD = "card.html"
"""What alone may lie beside them, for people to read: no record tells of it, and a note on the version does."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A record and the stored model that it is about, read and found to be what their digests say."""

    folder: Path
    record: Record
    stored: StoredModel

    @classmethod
    def read(cls, folder: Path | str, *, verifier: Verifier | None = None, signed: bool = False) -> Candidate:
        """Read a folder, every file of it checked.

        ``signed`` asks for a signature even where no key is configured, which then nobody can give. Raises
        `EvidenceError` with every problem.
        """
        folder = Path(folder)
        verifier = verifier or Verifier.configured()
        if signed and verifier is None:
            raise EvidenceError(
                "the policy asks for signed records, and no key is trusted: set SAFEGUARDS_VERIFYING_KEYS"
            )
        record = Record.read(folder / RECORD, verifier=verifier)
        stored = StoredModel.read(folder / MODEL_FOLDER, digest=record.stored)
        problems = stored.check()
        if stored.weights != record.weights:
            problems.append("the weights are not those of the record")
        if problems:
            raise EvidenceError("; ".join(problems))
        return cls(folder=folder, record=record, stored=stored)

    @property
    def names(self) -> list[str]:
        """Of the files that belong to it."""
        return [
            name
            for name in EVERY
            if name in SEALED[:2] or name.rpartition("/")[2] in self.stored.names
            if (self.folder / name).is_file()
        ]

    @classmethod
    def fetch_record(cls, registry: RegisteredModel, digest: str) -> Record:
        """The record alone that the registry holds under this digest. Raises `EvidenceError`."""
        with tempfile.TemporaryDirectory() as place:
            registry.fetch(digest, SEALED[:2], Path(place))
            with _saying_where(Path(place)):
                record = Record.read(Path(place, RECORD))
        _check_that_it_is(record, digest, registry.name)
        return record

    @classmethod
    def fetch_undisturbed_record(cls, registry: RegisteredModel, digest: str) -> Record:
        """As `fetch_record`, of a model with nothing planted beside it: the names of its files, not their bytes."""
        record = cls.fetch_record(registry, digest)
        with tempfile.TemporaryDirectory() as place:
            registry.fetch(digest, SEALED[2:], Path(place))
            with _saying_where(Path(place)):
                stored = StoredModel.read(Path(place, MODEL_FOLDER), digest=record.stored)
        _check_that_nothing_lies_beside(registry, digest, _names_of(stored))
        return record

    @classmethod
    def fetch(
        cls, registry: ModelRegistry, digest: str, folder: Path, *, verifier: Verifier | None = None
    ) -> Candidate:
        """Fetch what the registry holds under a record's digest, into an empty folder, and read it.

        Raises `EvidenceError` when it is missing, changed, or another record, and when there is anything beside it:
        MLflow's own loaders run a pickle that lies there.
        """
        registry.fetch(digest, EVERY, folder)
        with _saying_where(folder):
            found = cls.read(folder, verifier=verifier)
        _check_that_it_is(found.record, digest, registry.name)
        _check_that_nothing_lies_beside(registry, digest, _names_of(found.stored))
        return found


def _names_of(stored: StoredModel) -> set[str]:
    return {f"{MODEL_FOLDER}/{name}" for name in stored.names}


def _check_that_nothing_lies_beside(registry: RegisteredModel, digest: str, names: set[str]) -> None:
    if beside := registry.strangers(digest, {*SEALED[:2], CARD, *names}):
        raise EvidenceError(
            f"{', '.join(repr(name[:100]) for name in beside[:MOST_NAMED])} lies beside the record "
            f"{digest[:12]}, not put there by the gate: take it away, unopened"
        )


def _check_that_it_is(record: Record, digest: str, model: str) -> None:
    if record.digest != digest:
        raise EvidenceError(f"the registry holds another record in place of {digest[:12]}")
    if record.model != model:
        raise EvidenceError(f"the record {digest[:12]} is of the model {record.model!r}, not of {model!r}")


@contextmanager
def _saying_where(folder: Path) -> Iterator[None]:
    """Files that were fetched are named as the registry names them."""
    try:
        yield
        return
    except EvidenceError as error:
        text = str(error).replace(f"{folder}/", "the registry's ")
    raise EvidenceError(text)
