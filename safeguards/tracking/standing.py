"""Whether the tracking store has everything of a run, by what its spools on this machine know: the gate asks it too."""

from __future__ import annotations

import errno
import json
import stat
from pathlib import Path

from safeguards.core.canonical import parse
from safeguards.core.errors import EvidenceError
from safeguards.core.files import read_whole, write_whole
from safeguards.core.process import is_here
from safeguards.tracking.spool import Progress, read

__all__ = ["MARKER", "is_unsent", "mark", "what_waits"]

MARKER = "tracking.json"
LARGEST_MARKER = 1 << 20
SYNC = "safeguards sync"
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def mark(directory: Path, spool: Path) -> None:
    """Have the run whose ledger lies in ``directory`` know this spool too. Raises ``OSError``.

    It has one of each job, where it was resumed, and of each tracker.
    """
    known, place = [str(one) for one in _spools(directory)], str(spool.absolute())
    if place not in known:
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / MARKER, json.dumps({"spool": place, "earlier": known}).encode())


def what_waits(directory: Path) -> str | None:
    """What the tracking store lacks of the run whose ledger lies in ``directory``, as far as its spools tell.

    ``directory`` is ``<default_root_dir>/safeguards/<run id>``. None where the store has all, and where there is no
    spool to ask: it is on another machine, or was deleted once it was complete. Then the tag ``safeguards.tracking`` of
    the MLflow run has the only word.
    """
    told = (_what_waits_in(one, newest=place == 0) for place, one in enumerate(_spools(directory)))
    return next((text for text in told if text is not None), None)


def _spools(directory: Path) -> list[Path]:
    """Those that its run knows; none where somebody else wrote in their place."""
    try:
        held = parse(read_whole(directory / MARKER, at_most=LARGEST_MARKER), what=MARKER)
        return [Path(one) for one in (held["spool"], *held.get("earlier", ()))]
    except (EvidenceError, KeyError, TypeError):
        return []


def _what_waits_in(spool: Path, *, newest: bool) -> str | None:
    try:
        if not _is_folder(spool):
            return None
        known = Progress.of(spool)
        if known.lost:
            return f"{known.lost} artifacts were lost before they could be sent"
        is_sent = next(read(spool, min(known.values, known.artifacts)), None) is None
        if is_sent and (known.complete or not newest or _is_of_another_host(spool)):
            return None
    except OSError as error:
        return f"it cannot be told what of it waits to be sent: {spool}: {error.strerror}"
    return f"some of it waits to be sent: {SYNC} {spool}"


def _is_folder(spool: Path) -> bool:
    """No for what is no path at all, too. Raises ``OSError`` for one that may be there and cannot be reached."""
    try:
        return stat.S_ISDIR(spool.stat().st_mode)
    except (OSError, ValueError) as found:
        if isinstance(found, OSError) and found.errno not in ABSENT:
            raise
        return False


def _is_of_another_host(spool: Path) -> bool:
    """Whether its job may be at work where nobody here sees it: of such a one no sync here ever tells the end."""
    owners = [entry.data for entry in read(spool) if entry.kind in ("job", "process")]
    return bool(owners) and not is_here(owners[-1])


def is_unsent(folder: Path) -> bool:
    """Whether the store lacks something of a run below ``folder``, one that was killed too, as `what_waits` tells."""
    return any(what_waits(marker.parent) for marker in folder.rglob(MARKER))
