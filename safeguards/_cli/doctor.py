"""`safeguards doctor`: what would make a training fail or hang on this machine, before it does, and what was left."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from tqdm import tqdm

from safeguards._cli import tracking
from safeguards.core.redact import safe_line
from safeguards.tracking.store import spool_folder

__all__ = ["Finding", "run"]

HANDSHAKE = Path(__file__).with_name("handshake.py")
HANDSHAKE_SECONDS = 60.0
"""Importing torch twice takes a few seconds on a slow disk; whatever needs a minute hangs."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found; where it is not healthy, the text names the remedy."""

    healthy: bool
    text: str


def run(*, tracking_uri: str, spool: Sequence[Path], quiet: bool) -> int:
    """Run every check, print a line for each (only the problems when ``quiet``), and return 1 when one is a problem.

    Progress goes to a terminal only.
    """
    checks: dict[str, Callable[[], Finding]] = {
        "versions": versions,
        "build locks": build_locks,
        "compiler": compiler,
        "tracking": lambda: tracking_store(tracking_uri),
        "spools": lambda: spools(tracking_uri, spool),
        "processes": processes,
    }
    findings: dict[str, Finding] = {}
    with tqdm(total=len(checks), desc="doctor", leave=False, disable=quiet or None) as progress:
        for name, check in checks.items():
            progress.set_postfix_str(name)
            findings[name] = check()
            progress.update()
    for name, finding in findings.items():
        if not (quiet and finding.healthy):
            print(f"{'ok' if finding.healthy else 'PROBLEM':<9}{name:<13}{safe_line(finding.text)}")
    return 0 if all(finding.healthy for finding in findings.values()) else 1


def versions() -> Finding:
    """Every package that safeguards requires here, held against its range."""
    if installed("safeguards") is None:
        return Finding(healthy=False, text="safeguards itself is not installed: pip install --editable .")
    found = {requirement: installed(requirement.name) for requirement in required()}
    wrong = [f"{r} is asked for and {v or 'nothing'} is there" for r, v in found.items() if not fits(r, v)]
    if wrong:
        return Finding(
            healthy=False, text=f"{'; '.join(wrong)}: pip install --constraint requirements.lock, as at first"
        )
    listed = ", ".join(f"{requirement.name} {version}" for requirement, version in found.items())
    return Finding(healthy=True, text=f"python {sys.version.split()[0]}, {listed}")


def required() -> list[Requirement]:
    """What safeguards needs on this platform, without any extra."""
    asked = map(Requirement, metadata.requires("safeguards") or [])
    return [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]


def installed(name: str) -> str | None:
    """The version of a distribution; None when it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def fits(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def build_locks() -> Finding:
    """Locks left by builds of DeepSpeed's C++ that died: the next build waits for them without end."""
    from safeguards.deepspeed import ops

    locks = ops.stale_locks()
    if locks:
        return Finding(healthy=False, text=f"left by a build that died; remove with: rm {' '.join(map(str, locks))}")
    return Finding(healthy=True, text=f"none in {', '.join(map(str, ops.build_roots()))}")


def compiler() -> Finding:
    """What DeepSpeedCPUAdam is compiled with; without it, ZeRO needs none."""
    from safeguards.deepspeed import ops

    path = ops.compiler()
    if path is None:
        return Finding(healthy=False, text="no C++ compiler, and DeepSpeedCPUAdam is compiled: install g++ or set CXX")
    return Finding(healthy=True, text=path)


def tracking_store(uri: str) -> Finding:
    """Whether MLflow's store takes runs, asked within seconds."""
    problem = tracking.problem_of(uri)
    return Finding(healthy=problem is None, text=uri if problem is None else f"{uri}: {problem}")


def spools(uri: str, named: Sequence[Path] = ()) -> Finding:
    """Whether jobs that are gone left something unsent, where those of this store keep it and in each of ``named``.

    Of a folder that a job was told to use nobody but the job knows.
    """
    from safeguards.tracking.syncing import left_below, may_be_looked_into, unreadable

    own = {spool_folder(uri, one): "name one with spools below it" for one in named}
    default = {spool_folder(uri, None): "jobs of this store keep there what is not sent: run this as their user"}
    places = default | own
    shut = [one for one in places if not may_be_looked_into(one) and (one in own or not _is_absent(one))]
    unread: list[OSError] = []
    wrong = [f"{place} is no folder that can be read; {places[place]}" for place in shut]
    wrong += [
        f"{len(left)} jobs that are gone left something to be sent: safeguards sync {place}"
        for place in places
        if place not in shut and (left := left_below(place, unread.append))
    ]
    wrong += map(unreadable, unread)
    return Finding(healthy=not wrong, text="; ".join(wrong) or f"nothing waits in {', '.join(map(str, places))}")


def _is_absent(place: Path) -> bool:
    """For sure: a folder that no job needed yet, and not one that cannot be reached."""
    try:
        place.lstat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def processes() -> Finding:
    """Whether two processes on this machine can add numbers over gloo, as every distributed run does."""
    with tempfile.TemporaryDirectory() as place:
        pair = [_start(rank, Path(place)) for rank in range(2)]
        try:
            said = [_end_of(process, time.monotonic() + HANDSHAKE_SECONDS) for process in pair]
        finally:
            for process in pair:
                process.kill()
                process.wait()
    failures = [text for text in said if text is not None]
    if failures:
        remedy = "check that the host's name resolves, or name an interface in GLOO_SOCKET_IFNAME"
        return Finding(healthy=False, text=f"two processes cannot talk over gloo ({failures[0]}): {remedy}")
    return Finding(healthy=True, text="two processes talk over gloo")


def _start(rank: int, place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", str(HANDSHAKE), str(rank), str(place / "meeting_point")]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _end_of(process: subprocess.Popen[str], deadline: float) -> str | None:
    """None for a process that ended well, else the last line that it said."""
    try:
        _, said = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"no answer within {HANDSHAKE_SECONDS:.0f} s"
    return None if process.returncode == 0 else (said.strip().splitlines() or ["no message"])[-1]
