"""`safeguards sync [DIR]`: what jobs below a folder could not send to their tracking store."""

from __future__ import annotations

import sys
from pathlib import Path

from safeguards.core.errors import ConfigurationError

__all__ = ["run"]


def run(*, directory: Path, tracking_uri: str | None, quiet: bool) -> int:
    """Send what is left of every spool, a line for each; return 1 when something stays behind or cannot be read."""
    from safeguards.tracking.syncing import may_be_looked_into, spools_below, sync, unreadable

    if not may_be_looked_into(directory):
        raise ConfigurationError(f"{directory} is no folder that can be read; name one with spools below it")
    shut: list[OSError] = []
    found = spools_below(directory, shut.append)
    for error in shut:
        print(unreadable(error))
    results = [sync(folder, tracking_uri=tracking_uri) for folder in found]
    for one in results:
        for note in one.notes:
            print(f"{one.folder}: {note}", file=sys.stderr)
        if one.left is not None:
            print(f"{one.folder}: waits: {one.left}")
        elif not quiet:
            print(f"{one.folder}: {_told(one.sent, is_open=one.open)}")
    if not (found or shut or quiet):
        print(f"no spool below {directory}")
    return 1 if shut or any(one.left is not None for one in results) else 0


def _told(sent: int, *, is_open: bool) -> str:
    told = f"{sent} lines sent" if sent else "nothing to send"
    return f"{told}; the job may still be running" if is_open else f"{told}; complete"
