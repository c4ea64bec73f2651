"""Every error that safeguards raise on purpose.

SafeguardError
 ├─ ConfigurationError   an argument is wrong; raised where it enters, before any training
 ├─ FieldError           a batch lacks a field, or a field has the wrong length or type
 ├─ NotApplicable        this measure cannot apply to this module or these data
 ├─ RankError            a process of the job failed; carries the rank and the text of each failure
 ├─ LimitViolated        a verdict failed and its safeguard asked for ``reaction="raise"``
 ├─ LedgerError          a ledger cannot be read or written
 ├─ TrialFailed          a trial of a search came to nothing; the search goes on
 ├─ EvidenceError        a record, a stored model or a checkpoint is not what its digest says
 ├─ StoreAway            the tracking store does not answer; it may, later
 ├─ RegistryError        the registry cannot be reached, or holds what it should not
 ├─ DataRefused          a delivery of data is not whole, or not what its manifest or the schema says
 └─ AlreadyRunning       another process is at the same work
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeguards.core.verdict import Verdict

__all__ = [
    "AlreadyRunning",
    "ConfigurationError",
    "DataRefused",
    "EvidenceError",
    "FieldError",
    "LedgerError",
    "LimitViolated",
    "NotApplicable",
    "RankError",
    "RegistryError",
    "SafeguardError",
    "StoreAway",
    "TrialFailed",
]


class SafeguardError(Exception):
    """Root of the tree."""


class ConfigurationError(SafeguardError, ValueError):
    """An argument is wrong. The text shows the call, the value and the remedy."""


class FieldError(SafeguardError, LookupError):
    """A batch lacks a field. The text names the field, the batch's type and its keys."""


class NotApplicable(SafeguardError):  # noqa: N818 - reads as a finding: "raise NotApplicable"
    """A measure cannot apply to this module or these data."""


class RankError(SafeguardError):
    """Some processes failed in a piece of work that all were doing; raised alike on all of them."""

    def __init__(self, failures: Sequence[tuple[int, str]], *, world: int = 2) -> None:
        self.failures = tuple(failures)
        texts = dict.fromkeys(text for _, text in failures)
        if len(failures) == world and len(texts) == 1:
            super().__init__(next(iter(texts)))
        else:
            super().__init__("; ".join(f"rank {rank}: {text}" for rank, text in failures))


class LimitViolated(SafeguardError):  # noqa: N818 - a finding, not a defect
    """Training was told to end by an exception; ``verdicts`` holds those that failed."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        self.verdicts = tuple(verdicts)
        super().__init__("; ".join(f"{v.safeguard}/{v.measure}: {v.reason}" for v in verdicts))


class LedgerError(SafeguardError, OSError):
    """A ledger cannot be read or written."""


class EvidenceError(SafeguardError):
    """A file from outside is missing, too large, or not what its digest or signature says. Nothing of it was used."""


class StoreAway(SafeguardError, ConnectionError):  # noqa: N818 - a finding: the store may be back at the next call
    """The tracking store does not answer. The text is free of secrets; nothing has to be changed to try again."""


class RegistryError(SafeguardError):
    """The model registry cannot be reached, or what it holds contradicts itself. The text is free of secrets."""


class TrialFailed(SafeguardError):  # noqa: N818 - a finding of the search
    """A trial of a search crashed, hung or diverged. The text is the reason that the study keeps."""


class DataRefused(SafeguardError):  # noqa: N818 - a finding about the data
    """A delivery of data is not whole, or not what was agreed. The text names the file and what is wrong with it."""


class AlreadyRunning(SafeguardError):  # noqa: N818 - a finding: this one steps back
    """Another process does the same work on the same model at this moment."""
