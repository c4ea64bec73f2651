"""The ledger of a job that was killed before it could hand it over: made of the verdicts that its spool has."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core import ledger
from safeguards.core.verdict import Verdict
from safeguards.tracking.entities import own_tags
from safeguards.tracking.outcomes import tags_of
from safeguards.tracking.sending import deliver
from safeguards.tracking.spool import Entry

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["FOLDER", "keep_ledger"]

FOLDER, LEDGER = "safeguards", "verdicts.jsonl"
REFUSED = (ValueError, KeyError, OverflowError, TypeError, AttributeError, IndexError, RecursionError)


def keep_ledger(client: MlflowClient, run_id: str, entries: Sequence[Entry], folder: str, *, tell: bool) -> None:
    """Add what a killed job found to the ledger in ``folder`` of its run, and ``tell`` the tags. Again changes nothing.

    The spool's own text is sent and no file that it names: of this machine nothing else goes out. A run that was
    resumed has the verdicts of earlier jobs already, which stay.
    """
    from safeguards.core.ending import Summary  # it brings torch, which a sync needs for killed jobs only

    found = list(_verdicts(entries))
    if not found:
        return
    with tempfile.TemporaryDirectory() as place:
        earlier = _earlier(client, run_id, f"{folder}/{LEDGER}", place)
        path = Path(place, "new", LEDGER)
        known = set(map(_text, earlier))
        ledger.Ledger(path).append([*earlier, *(one for one in found if _text(one) not in known)])
        client.log_artifact(run_id, str(path), folder)
        summary = Summary(run_id="", directory=path.parent, verdicts=tuple(ledger.read(path)[0]), ended="killed")
    if tell:
        tags = tags_of(summary)
        del tags["safeguards.run_id"]  # the run has it from the line in which the job gave its ledger
        deliver(client, run_id, own_tags(tags))


def _text(verdict: Verdict) -> str:
    """Two that are told alike are one, also where their number is none."""
    return json.dumps(verdict.to_dict(), sort_keys=True)


def _verdicts(entries: Iterable[Entry]) -> Iterable[Verdict]:
    """None of what somebody else may have written in their place."""
    for entry in entries:
        held = entry.data.get("verdicts") if entry.kind == "verdicts" else None
        for one in held if isinstance(held, list) else ():
            try:
                yield Verdict.from_dict(json.loads(json.dumps(one, allow_nan=False)))
            except REFUSED:
                continue


def _earlier(client: MlflowClient, run_id: str, path: str, place: str) -> list[Verdict]:
    there: list[Any] = client.list_artifacts(run_id, path.rpartition("/")[0])
    if path not in [one.path for one in there]:
        return []
    return ledger.read(Path(client.download_artifacts(run_id, path, place)))[0]
