"""Where the retrainings of a model keep what they took in and what they made, each by its digest.

<root>/<model>/data/<fingerprint>/     a delivery, copied and checked, shared by all jobs
<root>/<model>/trainings/<digest>.json the configuration of a training, as its record names it
<root>/<model>/jobs/<key>/             the steps of one job
<root>/<model>/audits.jsonl            what the live audits said, and which retraining answered them
<root>/<model>/<command>.failed        which failure was told last, until a call ends well
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from safeguards.core.canonical import canonical, digest_of, parse
from safeguards.core.errors import ConfigurationError, DataRefused, EvidenceError
from safeguards.core.files import read_whole, sync, write_whole
from safeguards.core.names import encode
from safeguards.retraining.auditbook import AuditBook
from safeguards.retraining.intake import TAKE_ANEW, Delivery, Manifest, take, taken
from safeguards.tracking.standing import is_unsent

__all__ = ["DELIVERY", "Shelf"]

DELIVERY = "delivery"
"""What a record calls the delivery that its model learned from."""

KEY_DIGITS = 16
JOB = re.compile(f"[0-9a-f]{{{KEY_DIGITS}}}")
PUBLISHED = "[0-9][0-9]-publish"  # the step of a live audit after which a spool has its verdicts
LARGEST_TRAINING = 1 << 22
DATA_LOCK = "data.lock"


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The folder of one model below ``root``."""

    root: Path
    model: str

    @property
    def folder(self) -> Path:
        """Of this model, whatever its name is made of."""
        return self.root / encode(self.model)

    @property
    def audits(self) -> AuditBook:
        """What its live audits said."""
        return AuditBook(self.folder / "audits.jsonl")

    def job(self, key: Any) -> Path:
        """The folder of the job with this key, plain values."""
        return self.folder / "jobs" / digest_of(key)[:KEY_DIGITS]

    def clear(self, keep: int, *, but: Path) -> None:
        """Remove the jobs of live audits but the newest ``keep``, those that opened a retraining which has not been
        answered, those of which MLflow lacks something yet, and ``but``, the one at work. The book keeps all of them.

        Raises `ConfigurationError` for less than 0, `LedgerError` for a book that cannot be read.
        """
        if keep < 0:
            raise ConfigurationError(f"keep: {keep!r}: expected 0 or more jobs of live audits")
        for name in self.audits.done_with(keep):
            place = self.folder / "jobs" / name
            if JOB.fullmatch(name) and place != but and any(place.glob(PUBLISHED)) and not is_unsent(place):
                shutil.rmtree(place, ignore_errors=True)

    def remember(self, training: Mapping[str, Any]) -> str:
        """Keep the configuration of a training, plain values; its digest, by which a record names it."""
        digest = digest_of(dict(training))
        place = self._training(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, canonical(dict(training)))
        return digest

    def training(self, digest: str) -> dict[str, Any]:
        """The configuration with this digest. Raises `EvidenceError` when it is not here, or not what it was."""
        place = self._training(digest)
        found: dict[str, Any] = parse(read_whole(place, at_most=LARGEST_TRAINING), what=str(place))
        if digest_of(found) != digest:
            raise EvidenceError(f"{place} was changed: its bytes do not give its digest")
        return found

    def _training(self, digest: str) -> Path:
        return self.folder / "trainings" / f"{Path(digest).name}.json"

    def take(self, source: Path) -> Delivery:
        """Copy and check a delivery, or find the copy that was made before; one rename makes it count.

        The time of its folder tells when it was last taken. A retraining and a live audit that take it at once make one
        copy. Raises `DataRefused`.
        """
        place = self._place(Manifest.read(source).fingerprint)
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / DATA_LOCK):
            if not place.is_dir():
                part = place.with_name(f"{place.name}.part")
                shutil.rmtree(part, ignore_errors=True)
                take(source, part)
                part.rename(place)
                sync(place.parent)
            os.utime(place)
        return taken(place)

    def delivery(self, fingerprint: str) -> Delivery:
        """A delivery that was taken before. Raises `DataRefused` when it is not here, or not what it was."""
        place = self._place(fingerprint)
        if not place.is_dir():
            raise DataRefused(f"{place}: the data of the champion are not here; bring them, or name their folder")
        found = taken(place)
        if found.manifest.fingerprint != fingerprint:
            raise DataRefused(f"{place}: has changed since it was taken; {TAKE_ANEW}")
        return found

    def learned_from(self, data: Mapping[str, str]) -> Delivery:
        """The delivery that a model learned from, by the data that its record names. Raises `DataRefused`."""
        if DELIVERY not in data:
            raise DataRefused(
                f"the record of {self.model}'s champion names no delivery: no retraining made it, so nothing tells "
                "which data it learned from; promote one that a retraining made"
            )
        return self.delivery(data[DELIVERY])

    def _place(self, fingerprint: str) -> Path:
        return self.folder / "data" / Path(fingerprint).name
