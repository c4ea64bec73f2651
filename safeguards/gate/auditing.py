"""What in the registry is not as the gate left it: aliases, files, the history; and waivers that expired."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.errors import EvidenceError
from safeguards.gate.candidate import Candidate
from safeguards.gate.carding import card_problems
from safeguards.gate.following import RECORD, STATE, is_unfinished
from safeguards.gate.history import History
from safeguards.gate.judging import AHEAD, moment_of
from safeguards.gate.policy import Policy
from safeguards.gate.record import DIGEST, Record

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry
    from safeguards.tracking.registered import Version

__all__ = ["Finding", "audit"]

NAMED = 3  # entries of a finding


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong: with what (``alias``, ``history``, ``waiver``, ``version 3``), and a sentence."""

    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


def audit(registry: ModelRegistry, *, policy: Policy | None = None, now: datetime | None = None) -> list[Finding]:
    """Every finding; none where all is as the gate left it. Nothing is changed.

    The files of every version that has a record are fetched and checked. ``policy`` adds its waivers. Raises
    `RegistryError` when the registry cannot be read.
    """
    moment = now or datetime.now(UTC)
    history = History.read(registry)
    versions = registry.versions()
    return [
        *(Finding(subject="history", text=problem) for problem in history.problems),
        *_about_clocks(history, moment),
        *_about_alias(registry, history, versions),
        *_about_versions(registry, history, versions),
        *_about_waivers(history, policy, moment),
    ]


def _about_clocks(history: History, now: datetime) -> Iterator[Finding]:
    """A host whose clock is ahead takes attempts for older than they are; it shows while its entries are to come."""
    ahead = [entry for entry in history.entries if (when := moment_of(entry.when)) and when > now + AHEAD]
    if ahead:
        named = ", ".join(f"entry {entry.number} of {entry.when}" for entry in ahead[:NAMED])
        more = f" and {len(ahead) - NAMED} more" if len(ahead) > NAMED else ""
        doubt = "the clock of a host was ahead, and attempts within the window may not have counted"
        remedy = "put that clock right and look at what was promoted by it"
        yield Finding(subject="history", text=f"of a time to come: {named}{more}; {doubt}: {remedy}")


def _about_alias(registry: ModelRegistry, history: History, versions: list[Version]) -> Iterator[Finding]:
    alias, expected = registry.champion(), history.champion
    there = {one.number for one in versions}
    for number in history.champions:
        if number not in there:
            what = "the champion" if number == expected else "an earlier champion"
            yield Finding(subject=f"version {number}", text=f"{what} was deleted from the registry")
    if alias == expected:
        return
    if is_unfinished(registry, history, alias):
        text = f"a promotion to version {expected} was stopped before its alias moved: run safeguards promote again"
    elif alias is None:
        text = f"champion is gone, and the history says version {expected}"
    else:
        text = f"champion was moved outside of the gate to version {alias}; the history says {expected or 'none'}"
    yield Finding(subject="alias", text=text)


def _about_versions(registry: ModelRegistry, history: History, versions: list[Version]) -> Iterator[Finding]:
    ruled = {entry.version: entry.record for entry in history.entries if entry.version}
    alias = registry.champion()
    records: dict[int, Record] = {}
    for version in versions:
        digest = version.tags.get(RECORD)
        expected = ruled.get(version.number)
        if digest is None and expected is None:
            if version.number == alias:
                yield _on(version, "it is champion and has no record: it never went through the gate")
            continue
        if expected is not None and digest != expected:
            yield _on(version, f"its tag names another record than the history does ({expected[:12]})")
        found = yield from _about_files(registry, version, expected or str(digest))
        if found is not None:
            records[version.number] = found
        if expected is None and version.tags.get(STATE) in ("registered", "evaluated"):
            yield _on(version, f"it was {version.tags[STATE]} and never ruled on: run safeguards promote again")
    yield from _about_chain(records)


def _about_files(registry: ModelRegistry, version: Version, digest: str) -> Generator[Finding, None, Record | None]:
    if not DIGEST.fullmatch(digest):
        yield _on(version, "its tag names no record")
        return None
    if not registry.is_stored_by_us(version, digest):
        yield _on(version, "its source is not where the gate stored its files")
    try:
        with tempfile.TemporaryDirectory() as place:
            record = Candidate.fetch(registry, digest, Path(place)).record
        yield from (_on(version, problem) for problem in card_problems(registry, version, digest))
        return record
    except EvidenceError as error:
        yield _on(version, str(error))
    return None


def _about_chain(records: dict[int, Record]) -> Iterator[Finding]:
    known = {record.digest for record in records.values()}
    for number, record in records.items():
        if record.previous is not None and record.previous not in known:
            text = f"its record is chained to {record.previous[:12]}, which is missing or was changed"
            yield Finding(subject=f"version {number}", text=text)


def _about_waivers(history: History, policy: Policy | None, now: datetime) -> Iterator[Finding]:
    for waiver in () if policy is None else policy.waivers:
        if not waiver.holds(now):
            text = f"{waiver.measure}, waived by {waiver.name}, expired on {waiver.expires:%Y-%m-%d}: {waiver.reason}"
            yield Finding(subject="waiver", text=text)
    promoted = [one for one in history.entries if one.action == "promoted" and one.version == history.champion]
    for measure, end in promoted[-1].expiring if promoted else ():
        if datetime.fromisoformat(end) <= now:
            text = f"version {history.champion}, the champion, needed a waiver of {measure}, which expired on {end}"
            yield Finding(subject="waiver", text=text)


def _on(version: Version, text: str) -> Finding:
    return Finding(subject=f"version {version.number}", text=text)
