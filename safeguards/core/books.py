"""What a run writes into its directory while it judges: verdicts, names that were encoded, and what it all cost."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safeguards.core.errors import LedgerError
from safeguards.core.ledger import Ledger
from safeguards.core.verdict import Verdict

__all__ = ["Books"]


class Books:
    """Of rank 0. A disk that fails costs the run its books and nothing else, which is said once."""

    def __init__(self) -> None:
        self._unwritten: list[Verdict] = []
        self._lost = False

    def keep(self, directory: Path, reached: Sequence[Verdict], names: Mapping[str, str]) -> None:
        """Append verdicts to the ledger, and write the ``names`` that were encoded, by what stands for them."""
        self._unwritten += reached
        try:
            Ledger(directory / "verdicts.jsonl").append(self._unwritten)
            self._unwritten = []
            if names:
                (directory / "names.json").write_text(json.dumps(names, indent=1))
        except (LedgerError, OSError) as error:
            if not self._lost:
                warnings.warn(
                    f"verdicts are kept in memory only: {error}; once that is mended they are written with the next",
                    stacklevel=2,
                )
            self._lost = True

    def keep_costs(self, directory: Path, totals: Mapping[str, Any]) -> None:
        """What each safeguard cost this fit in all, work after training included."""
        if totals and not self._lost:
            with suppress(OSError):  # the ledger, in the same folder, tells of a full disk
                (directory / "costs.json").write_text(json.dumps(totals, indent=1))
