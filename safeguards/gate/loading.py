"""From a stored model to a module: digest first, then the list of what may be imported, then the weights."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from safeguards.core.errors import EvidenceError
from safeguards.gate.stored import EXAMPLE, WEIGHTS, StoredModel
from safeguards.gate.tensors import differences, unpack
from safeguards.gate.ties import tie

__all__ = ["check_prediction", "is_allowed", "load_model", "predict"]


def load_model(folder: Path | StoredModel, *, allowed: Sequence[str], digest: str | None = None) -> nn.Module:
    """The module of a stored model, in eval mode on the CPU.

    Args:
        folder: where `store_model` put it.
        allowed: class paths that may be imported, ``package.module.Class``, or ``package.module.*``.
        digest: of ``model.json``, as a record holds it (`Record.stored`); None trusts the folder.

    Raises:
        EvidenceError: a file is missing or was changed, the class is not allowed or is no module, or the weights do
            not fit it. Nothing was imported unless every digest was right.

    """
    stored = folder if isinstance(folder, StoredModel) else StoredModel.read(Path(folder), digest=digest)
    state = _tensors(stored, WEIGHTS)
    module = _build(stored, allowed)
    _fill(module, stored, state)
    return module.eval()


def check_prediction(stored: StoredModel, *, allowed: Sequence[str]) -> str | None:
    """Load it, run the stored example, compare with the stored outputs: None where equal, else why not."""
    if stored.example is None:
        return "no example was stored with the model, so that nothing shows that it predicts"
    tensors = _tensors(stored, EXAMPLE)
    inputs, expected = (unpack(stored.example[name], tensors) for name in ("inputs", "outputs"))
    return differences(expected, predict(load_model(stored, allowed=allowed), inputs))


def predict(module: nn.Module, inputs: Any) -> Any:
    """The outputs for an example: the items of a tuple are arguments, anything else is the one argument."""
    with torch.no_grad():
        return module(*inputs) if isinstance(inputs, tuple) else module(inputs)


def is_allowed(class_path: str, allowed: Sequence[str]) -> bool:
    """Whether the list names the class, or its module with ``.*``."""
    return class_path in allowed or f"{class_path.rpartition('.')[0]}.*" in allowed


def _build(stored: StoredModel, allowed: Sequence[str]) -> nn.Module:
    path = stored.class_path
    if not is_allowed(path, allowed):
        listed = ", ".join(allowed) or "none"
        raise EvidenceError(
            f"the class {path} is not among those that may be loaded: {listed}; if it may, name it there, in a policy "
            "under classes"
        )
    place, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(place), name)
    except (ImportError, AttributeError):
        raise EvidenceError(f"the class {path} cannot be imported here; is its package installed?") from None
    if not (isinstance(found, type) and issubclass(found, nn.Module) and found.__module__ == place):
        raise EvidenceError(f"{path} is no module's class of that place")
    try:
        return found(**stored.arguments)
    except Exception as error:
        raise EvidenceError(f"{path} cannot be made from its stored arguments ({type(error).__name__})") from None


def _tensors(stored: StoredModel, name: str) -> dict[str, Tensor]:
    import safetensors.torch

    try:
        return safetensors.torch.load(stored.content(name))
    except safetensors.SafetensorError:
        raise EvidenceError(f"{stored.folder / name} is no file of tensors") from None


def _fill(module: nn.Module, stored: StoredModel, state: Mapping[str, Tensor]) -> None:
    try:
        tie(module, stored.ties)
        whole = {**state, **{name: state[first] for name, first in stored.ties.items()}}
        module.load_state_dict(whole, strict=True)
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise EvidenceError(f"the stored weights do not fit {stored.class_path} ({type(error).__name__})") from None
