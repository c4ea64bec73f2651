"""Whether the tracking store has everything of a run: what a gate asks before it promotes."""

from __future__ import annotations

import json
from pathlib import Path

from safeguards.tracking.spool import Progress, read

__all__ = ["MARKER", "what_waits"]

MARKER = "tracking.json"
SYNC = "safeguards sync"


def what_waits(directory: Path) -> str | None:
    """Why the tracking store may lack something of the run whose ledger lies in ``directory``; None when it has all.

    ``directory`` is ``<default_root_dir>/safeguards/<run id>``. It asks the spool on this machine and no server; the
    tag ``safeguards.tracking`` of the MLflow run says the same to those who have no access to the spool.
    """
    try:
        spool = Path(json.loads((directory / MARKER).read_bytes())["spool"])
    except (OSError, ValueError, KeyError, TypeError):
        return "the run was not tracked to its end"
    if not spool.is_dir():
        return f"the spool {spool} is gone, so that nobody can tell"
    known = Progress.of(spool)
    if known.lost:
        return f"{known.lost} artifacts were lost before they could be sent"
    if known.complete and next(read(spool, min(known.values, known.artifacts)), None) is None:
        return None
    return f"some of it waits to be sent: {SYNC} {spool}"
