"""Whether the tracking store has everything of a run, by what its spool on this machine knows: the gate asks it too."""

from __future__ import annotations

import json
from pathlib import Path

from safeguards.tracking.spool import Progress, read

__all__ = ["MARKER", "is_unsent", "what_waits"]

MARKER = "tracking.json"
SYNC = "safeguards sync"


def what_waits(directory: Path) -> str | None:
    """What the tracking store lacks of the run whose ledger lies in ``directory``, as far as its spool tells.

    ``directory`` is ``<default_root_dir>/safeguards/<run id>``. None where the store has all, and where there is no
    spool to ask: it is on another machine, or was deleted once it was complete. Then the tag ``safeguards.tracking`` of
    the MLflow run has the only word.
    """
    try:
        spool = Path(json.loads((directory / MARKER).read_bytes())["spool"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not spool.is_dir():
        return None
    known = Progress.of(spool)
    if known.lost:
        return f"{known.lost} artifacts were lost before they could be sent"
    if known.complete and next(read(spool, min(known.values, known.artifacts)), None) is None:
        return None
    return f"some of it waits to be sent: {SYNC} {spool}"


def is_unsent(folder: Path) -> bool:
    """Whether the store lacks something of a run below ``folder``, one that was killed too, as `what_waits` tells."""
    return any(what_waits(marker.parent) for marker in folder.rglob(MARKER))
