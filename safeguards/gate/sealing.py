"""A record from what a run left behind: its ledger and costs, the stored model, and the files it was trained from."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from safeguards.core import ledger
from safeguards.core.canonical import digest_of, parse
from safeguards.core.errors import EvidenceError
from safeguards.core.files import digest_of_file, digest_of_tree, read_whole
from safeguards.core.redact import known_secrets, redact_tree
from safeguards.core.verdict import Verdict
from safeguards.gate.paired import Comparison
from safeguards.gate.record import DIGEST, Record
from safeguards.gate.stored import StoredModel

__all__ = ["seal"]

LARGEST_COSTS = 1 << 20


def seal(
    run: Path | str,
    stored: StoredModel,
    *,
    model: str,
    config: Path | str | Mapping[str, Any],
    code: Path | str | Sequence[Path | str],
    lock: Path | str,
    data: Mapping[str, Path | str],
    seeds: Mapping[str, int] | None = None,
    tracking_run: str | None = None,
    champion: Record | None = None,
    comparisons: Sequence[Comparison] = (),
    previous: str | None = None,
    notes: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Record:
    """Seal a run. Texts lose what looks like a secret.

    Args:
        run: the run's directory, ``<default_root_dir>/safeguards/<run id>``.
        stored: what `store_model` made.
        model: its name in the registry.
        config: the file of the configuration, or the configuration as plain values.
        code: a folder of sources, a file, or several.
        lock: the lock file of the environment.
        data: for each set its file, or the SHA-256 of it.
        seeds: by name.
        tracking_run: id of the MLflow run.
        champion: the record of the champion that it was compared with.
        comparisons: with it; labels in their names that were told apart by a secret alone get a number.
        previous: digest of the newest record of this model, as ``ModelRegistry.newest_record()`` gives it.
        notes: whatever else a reader should know.
        now: the moment of sealing; the clock's otherwise.

    Raises:
        EvidenceError: when a file is missing, or a line of the ledger cannot be read.
        LedgerError: when there is no ledger.

    """
    run = Path(run)
    path = run / "verdicts.jsonl"
    verdicts, problems = ledger.read(path)
    if problems:
        raise EvidenceError(f"the ledger is damaged and cannot be sealed: {problems[0]}")
    if why := stored.check():
        raise EvidenceError(f"the stored model cannot be sealed: {why[0]}")
    return Record(
        model=model,
        run_id=run.name,
        tracking_run=tracking_run,
        made=_iso(now or datetime.now(UTC)),
        judged=_iso(datetime.fromtimestamp(path.stat().st_mtime, UTC)),
        weights=stored.weights,
        stored=stored.digest,
        config=digest_of(dict(config)) if isinstance(config, Mapping) else _file(config),
        code=digest_of_tree(*_places(code)),
        lock=_file(lock),
        ledger=_file(path),
        data={name: _data(where) for name, where in data.items()},
        seeds=dict(seeds or {}),
        verdicts=tuple(_clean(verdict) for verdict in verdicts),
        costs=_costs(run / "costs.json"),
        champion=None if champion is None else champion.digest,
        comparisons=tuple(_named_apart(map(_clean_labels, comparisons))),
        notes=_texts({**stored.notes, **(notes or {})}),
        previous=previous,
    )


def _places(code: Path | str | Sequence[Path | str]) -> list[Path]:
    return [Path(code)] if isinstance(code, (str, Path)) else [Path(place) for place in code]


def _file(path: Path | str) -> str:
    return digest_of_file(Path(path))[1]


def _data(where: Path | str) -> str:
    return where if isinstance(where, str) and DIGEST.fullmatch(where) else _file(where)


def _costs(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    held = parse(read_whole(path, at_most=LARGEST_COSTS), what=str(path))
    try:
        found = {str(name): float(cost["seconds"]) for name, cost in held.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise EvidenceError(f"{path} holds no costs by safeguard") from None
    if not all(math.isfinite(seconds) for seconds in found.values()):
        raise EvidenceError(f"{path} holds costs that are no numbers")
    return found


def _clean(verdict: Verdict) -> Verdict:
    """Without secrets and halves of characters, which no record may hold."""
    return Verdict.from_dict(_whole(redact_tree(verdict.to_dict(), known_secrets(os.environ))))


def _clean_labels(comparison: Comparison) -> Comparison:
    """As `_clean`: a group is named by a label of the data, which may be anything."""
    return Comparison.from_dict(_whole(redact_tree(comparison.to_dict(), known_secrets(os.environ))))


def _named_apart(comparisons: Iterable[Comparison]) -> Iterator[Comparison]:
    """Those that only a secret told apart get a number, or one would stand for all."""
    taken: set[str] = set()
    for one in comparisons:
        name = one.measure
        for number in count(2):
            if name not in taken:
                break
            name = f"{one.measure} ({number})"
        taken.add(name)
        yield replace(one, measure=name)


def _texts(notes: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = _whole(redact_tree(dict(notes), known_secrets(os.environ)))
    return found


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
