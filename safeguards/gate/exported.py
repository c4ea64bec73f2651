"""A copy of a model by ``torch.export``, where that succeeds and predicts the same; else why there is none."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from safeguards.core.ranks import describe
from safeguards.gate.loading import predict
from safeguards.gate.tensors import differences

__all__ = ["export"]

LONGEST_NOTE = 300


def export(module: nn.Module, example: Any, outputs: Any, path: Path) -> str:
    """Write the copy and return a note on it; on failure there is no file, and the note says why."""
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            note = _export(module, example, outputs, path)
    except Exception as error:  # what an export may raise is no closed list
        note = f"none: {describe(error)}"
    if not note.startswith("equal"):
        with suppress(OSError):
            path.unlink()
    return note[:LONGEST_NOTE]


def _export(module: nn.Module, example: Any, outputs: Any, path: Path) -> str:
    arguments = example if isinstance(example, tuple) else (example,)
    with torch.no_grad():
        program = torch.export.export(module, arguments, dynamic_shapes=_any_rows(arguments))
    torch.export.save(program, path)
    copy = torch.export.load(path).module()
    if why := differences(outputs, predict(copy, example)):
        return f"none: its copy predicts something else ({why})"
    return f"equal on the example; {_rows(copy, example)}"


def _rows(copy: nn.Module, example: Any) -> str:
    """Whether it takes another number of rows than it was exported with."""
    with suppress(Exception):
        predict(copy, _twice(example))
        return "any number of rows"
    return "only the example's number of rows"


def _any_rows(value: Any) -> Any:
    """The first dimension of every tensor may vary where the network allows it."""
    if isinstance(value, Tensor):
        return {0: torch.export.Dim.AUTO} if value.ndim else {}
    if isinstance(value, Mapping):
        return {key: _any_rows(item) for key, item in value.items()}
    return type(value)(_any_rows(item) for item in value)


def _twice(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.cat([value, value]) if value.ndim else value
    if isinstance(value, Mapping):
        return {key: _twice(item) for key, item in value.items()}
    return type(value)(_twice(item) for item in value)


@contextmanager
def _quiet() -> Iterator[None]:
    """torch.export logs a failure at length before it raises it."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
