"""`safeguards verdicts [FILE]`: a ledger as a table, and whether it lets the model through."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from safeguards.core.errors import LedgerError
from safeguards.core.ledger import read
from safeguards.core.report import latest, overall, table

__all__ = ["newest", "run"]


def run(*, file: Path | None, quiet: bool) -> int:
    """Print the latest verdict of each measure (only those that do not admit when ``quiet``).

    Returns 0 when all of them let the model through and every line could be read, else 1. Raises `LedgerError`
    when there is no ledger to read.
    """
    path = file or newest(Path.cwd())
    verdicts, problems = read(path)
    for problem in problems:
        print(problem, file=sys.stderr)
    shown = [verdict for verdict in latest(verdicts) if not (quiet and verdict.outcome.admits)]
    if shown:
        print(table(shown))
    if not quiet:
        print(f"{overall(verdicts)}: {path}")
    return 0 if overall(verdicts).admits and not problems else 1


def newest(place: Path) -> Path:
    """The ledger below ``place`` that was written last; hidden folders are passed over, links are not followed."""
    found = []
    for folder, inside, files in os.walk(place):
        inside[:] = [name for name in inside if not name.startswith(".")]
        here = Path(folder)
        if "verdicts.jsonl" in files and here.parent.name == "safeguards":
            found.append(here / "verdicts.jsonl")
    if not found:
        raise LedgerError(f"no ledger below {place}; name a verdicts.jsonl, or train with a safeguard first")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, str(path)))
