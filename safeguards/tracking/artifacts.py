"""The run's directory as artifacts: texts without secrets, everything else as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from safeguards.core.files import files_below
from safeguards.core.redact import redact, redact_tree

__all__ = ["stage"]

LINES = frozenset({".jsonl", ".json"})
TEXTS = frozenset({".csv", ".log", ".md", ".txt", ".yaml", ".yml"})


def stage(source: Path, target: Path, known: Collection[str] = ()) -> None:
    """Copy the files of ``source`` to ``target``. Links are left out: they may lead anywhere on this machine."""
    for file in files_below(source):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in LINES | TEXTS:
            place.write_text(_clean(file, known), encoding="utf-8")
        else:
            shutil.copyfile(file, place)


def _clean(file: Path, known: Collection[str]) -> str:
    text = file.read_text(encoding="utf-8", errors="replace")
    if file.suffix not in LINES:
        return redact(text, known)
    if file.suffix == ".json":
        return _clean_json(text, known)
    return "".join(_clean_json(line, known) for line in text.splitlines(keepends=True))


def _clean_json(text: str, known: Collection[str]) -> str:
    """A line that is not JSON, as a torn one, is cleaned as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return redact(text, known)
    end = "\n" if text.endswith("\n") else ""
    return json.dumps(redact_tree(value, known)) + end
