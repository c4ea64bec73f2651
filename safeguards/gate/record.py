"""The sealed summary of a run: what was trained, from what, and every verdict on it. The gate reads nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from safeguards.core.canonical import canonical, digest_of, parse
from safeguards.core.errors import EvidenceError
from safeguards.core.files import read_whole, write_whole
from safeguards.core.signing import Signer, Verifier
from safeguards.core.verdict import Verdict
from safeguards.gate.paired import Comparison

__all__ = ["FORM", "LARGEST", "MODEL", "RECORD", "Record"]

FORM = 1
RECORD = "record.json"
MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{64}")
LARGEST = 64 << 20
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Record:
    """Digests are SHA-256 in hexadecimal; moments are ISO 8601 in UTC. Equal evidence has an equal `digest`.

    Args:
        model: the name in the registry: letters, digits, ``_``, ``-``, dots and spaces.
        run_id: of the ledger.
        tracking_run: id of the MLflow run; None where the run was not tracked.
        made: when the record was sealed.
        judged: when the ledger got its last verdict; the age of the evidence counts from here.
        weights: digest of the file of weights.
        stored: digest of ``model.json``, which holds the digest of every other file of the stored model.
        config: digest of the configuration.
        code: digest of the sources.
        lock: digest of the lock file.
        ledger: digest of the ledger.
        data: digest of each set of data, by name.
        seeds: by name.
        verdicts: every one of the run, oldest first.
        costs: seconds by safeguard.
        champion: digest of the record of the champion that it was compared with; None where there was none.
        comparisons: with the champion, paired on the same rows.
        notes: what a reader should know, such as why there is no pt2 copy.
        previous: digest of the previous record of the same model; None for the first.

    Raises:
        EvidenceError: when a digest, a name or a moment does not look like one.

    """

    model: str
    run_id: str
    made: str
    judged: str
    weights: str
    stored: str
    config: str
    code: str
    lock: str
    ledger: str
    data: Mapping[str, str]
    tracking_run: str | None = None
    seeds: Mapping[str, int] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    champion: str | None = None
    comparisons: tuple[Comparison, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    previous: str | None = None

    def __post_init__(self) -> None:
        for name in ("weights", "stored", "config", "code", "lock", "ledger"):
            _check(name, getattr(self, name), DIGEST)
        for name in ("champion", "previous"):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), DIGEST)
        _check("model", self.model, MODEL)
        for name, digest in self.data.items():
            _check(f"data[{name!r}]", digest, DIGEST)
        for name in ("data", "seeds", "costs", "notes"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @cached_property
    def digest(self) -> str:
        """Of the canonical form: of everything in it, the verdicts included."""
        return digest_of(self.to_dict())

    @property
    def key(self) -> str:
        """Digest of data and configuration: a run that is repeated after a crash has the same one."""
        return digest_of({"config": self.config, "data": dict(self.data)})

    def compared(self, measure: str) -> tuple[Comparison, ...]:
        """The paired comparisons of this measure; ``accuracy/*`` are those of each group."""
        if measure.endswith("/*"):
            return tuple(one for one in self.comparisons if one.measure.startswith(measure[:-1]))
        return tuple(one for one in self.comparisons if one.measure == measure)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain | {
            "form": FORM,
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            **{name: dict(plain[name]) for name in ("data", "seeds", "costs", "notes")},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of `to_dict`. Raises `EvidenceError` for anything else, unknown keys included."""
        try:
            known = {**data}
            if known.pop("form") != FORM:
                raise EvidenceError(
                    f"it is of form {data['form']!r}, and this version reads form {FORM}; take the one that sealed it"
                )
            known["verdicts"] = tuple(Verdict.from_dict(one) for one in known["verdicts"])
            known["comparisons"] = tuple(Comparison.from_dict(one) for one in known["comparisons"])
            known["seeds"] = {str(name): int(seed) for name, seed in known["seeds"].items()}
            return cls(**known)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise EvidenceError(f"it is no record of this form ({type(error).__name__})") from None

    def write(self, path: Path, *, signer: Signer | None = None) -> None:
        """Write the record, and its signature beside it where there is a key (``signer``, else `Signer.configured`).

        Raises ``OSError``.
        """
        signer = signer or Signer.configured()
        signature = path.with_name(f"{path.name}.sig")
        signature.unlink(missing_ok=True)
        write_whole(path, canonical({"digest": self.digest, "record": self.to_dict()}) + b"\n")
        if signer is not None:
            write_whole(signature, signer.sign(self.digest))

    @classmethod
    def read(cls, path: Path, *, verifier: Verifier | None = None) -> Record:
        """Read a record whose bytes give its digest, and whose signature is that of a trusted key where keys are known
        (``verifier``, else `Verifier.configured`).

        Raises `EvidenceError`: missing, too large, changed by as much as one byte, unsigned or wrongly signed.
        """
        record = cls.of(read_whole(path, at_most=LARGEST), what=str(path))
        verifier = verifier or Verifier.configured()
        if verifier is not None:
            verifier.check(record.digest, path.with_name(f"{path.name}.sig"))
        return record

    @classmethod
    def of(cls, content: bytes, *, what: str) -> Record:
        """The record of these bytes. Raises `EvidenceError` unless they are its canonical form with its digest."""
        sealed = parse(content, what=what)
        if (
            not isinstance(sealed, dict)
            or set(sealed) != {"digest", "record"}
            or not isinstance(sealed["record"], dict)
        ):
            raise EvidenceError(f"{what} is no sealed record")
        try:
            record = cls.from_dict(sealed["record"])
            intact = record.digest == sealed["digest"] and content == canonical(sealed) + b"\n"
        except EvidenceError as error:
            raise EvidenceError(f"{what}: {error}") from None
        if not intact or canonical(record.to_dict()) != canonical(sealed["record"]):
            raise EvidenceError(f"{what} was changed after it was sealed: its bytes do not give its digest")
        return record


def _check(name: str, value: object, form: re.Pattern[str]) -> None:
    if not (isinstance(value, str) and form.fullmatch(value)):
        wanted = "a SHA-256 in hexadecimal" if form is DIGEST else "letters, digits, spaces, _, - and dots"
        raise EvidenceError(f"Record({name}={str(value)[:80]!r}): expected {wanted}")
