"""The training of a challenger in processes of its own: the run as it is configured, and what a retraining adds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from safeguards.retraining.notify import without_webhook
from safeguards.search import QUIET, Torchrun

__all__ = ["trained"]

CONFIG = "config.yaml"
REPORTER, KEEPER = "safeguards.search.TrialReporter", "safeguards.retraining.KeepModel"


def trained(
    configuration: Mapping[str, Any],
    folder: Path,
    *,
    command: Sequence[str],
    objective: str,
    fields: Mapping[str, Any],
    seconds: float | None,
) -> dict[str, Any]:
    """Train in ``folder``, where `Kept` finds what is left; how it ended: ``state``, ``reason`` and ``values``.

    ``command`` is what python is told to train with a further ``--config=FILE``; ``objective`` is told in the end,
    ``fields`` are `KeepModel`'s, as plain values. Raises `TrialFailed` when it breaks or takes longer than ``seconds``.
    """
    whole = _complete(configuration, folder.resolve(), objective=objective, fields=fields)
    file = folder / CONFIG
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    torchrun = Torchrun.of(whole, command=command, seconds=seconds, environment=without_webhook(os.environ))
    ending = torchrun.run([f"--config={file}"], folder, lambda step, value: False)
    return {"state": ending.state, "reason": ending.reason, "values": dict(ending.values)}


def _complete(
    configuration: Mapping[str, Any], folder: Path, *, objective: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    whole = deepcopy(dict(configuration))
    own = {REPORTER: {"objectives": [objective]}, KEEPER: {"folder": str(folder), "fields": dict(fields)}}
    callbacks = [{"class_path": path, "init_args": arguments} for path, arguments in own.items()]
    whole["trainer"] |= {
        **QUIET,
        "callbacks": [*(whole["trainer"]["callbacks"] or []), *callbacks],
        "default_root_dir": str(folder),
    }
    return whole
