"""A module as files that cannot run: safetensors, a class path and plain arguments; a pt2 copy where one is equal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from safeguards.core.canonical import canonical, parse
from safeguards.core.errors import ConfigurationError, EvidenceError
from safeguards.core.partition import is_partitioned
from safeguards.core.verdict import plain
from safeguards.core.watching import no_trace
from safeguards.gate.exported import export
from safeguards.gate.loading import load_model, predict
from safeguards.gate.stored import CLASS_PATH, DESCRIPTION, EXAMPLE, EXPORTED, FILES, WEIGHTS, StoredModel
from safeguards.gate.tensors import differences, pack
from safeguards.gate.ties import ties_of

__all__ = ["store_model"]

LIGHTNINGS = ("_class_path", "_instantiator")
"""What Lightning adds to a module's hyperparameters."""


def store_model(
    module: nn.Module,
    folder: Path | str,
    *,
    example: Any = None,
    arguments: Mapping[str, Any] | None = None,
    state: Mapping[str, Tensor] | None = None,
    pt2: bool = True,
) -> StoredModel:
    """Write a module to a folder, load it from there and see that it predicts the same. The module is left as it was.

    Args:
        module: of a class that can be imported: at the top of a module, not of a script.
        folder: made where it is missing; a model in it is replaced.
        example: input of a few rows that may be shown: a tensor, a dict or a list of them, or a tuple of positional
            arguments. Without one the model can be loaded, but not promoted.
        arguments: what the class is made from, plain values; else what ``save_hyperparameters()`` kept.
        state: whole weights, as ``full_state_dict(module)`` of `safeguards.deepspeed` gives them under ZeRO-3.
        pt2: whether to add a copy by ``torch.export``, for serving without the class.

    Raises:
        ConfigurationError: the module cannot be stored so; the text says why.

    """
    folder = Path(folder)
    if state is None and is_partitioned(module):
        raise ConfigurationError(
            "store_model(module): its weights are in parts; pass state=full_state_dict(module), called on all ranks"
        )
    with no_trace(module):
        return _store(module, folder, example, arguments, state, pt2)


def _store(
    module: nn.Module,
    folder: Path,
    example: Any,
    arguments: Mapping[str, Any] | None,
    state: Mapping[str, Tensor] | None,
    pt2: bool,
) -> StoredModel:
    path = _class_path(module)
    plain_arguments = _plain_arguments(module, arguments)
    ties = ties_of(module)
    _clear(folder)
    _write_weights(folder / WEIGHTS, module, state, ties)
    description = {"class_path": path, "arguments": plain_arguments, "ties": ties, "example": None, "notes": {}}
    bare = StoredModel.write(folder, description, [WEIGHTS])
    copy = _as_loaded(bare)
    if example is None:
        return bare
    layout, outputs = _write_example(folder / EXAMPLE, copy, example)
    if state is None:
        _compare(module, example, outputs)
    note = export(copy, example, outputs, folder / EXPORTED) if pt2 else "not asked for"
    description |= {"example": layout, "notes": {"pt2": note}}
    names = [WEIGHTS, EXAMPLE] + ([EXPORTED] if (folder / EXPORTED).is_file() else [])
    return StoredModel.write(folder, description, names)


def _class_path(module: nn.Module) -> str:
    kind = type(module)
    path = f"{kind.__module__}.{kind.__qualname__}"
    home = sys.modules.get(kind.__module__)
    if (
        kind.__module__ == "__main__"
        or not CLASS_PATH.fullmatch(path)
        or getattr(home, kind.__name__, None) is not kind
    ):
        raise ConfigurationError(
            f"store_model({path}): the class cannot be imported by that name; put it at the top of a module of its own"
        )
    return path


def _plain_arguments(module: nn.Module, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(getattr(module, "hparams", {})) if arguments is None else dict(arguments)
    given = {name: value for name, value in given.items() if name not in LIGHTNINGS}
    try:
        form = canonical(given)
    except EvidenceError as error:
        raise ConfigurationError(
            f"store_model: the arguments of {type(module).__name__} must be plain values, but {error}; "
            "pass arguments={...} with what it can be made from"
        ) from None
    found: dict[str, Any] = parse(form, what="the arguments")
    return found


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (DESCRIPTION, *FILES):
        (folder / name).unlink(missing_ok=True)


def _write_weights(path: Path, module: nn.Module, state: Mapping[str, Tensor] | None, ties: Mapping[str, str]) -> None:
    import safetensors.torch

    held = module.state_dict() if state is None else dict(state)
    if odd := [name for name, entry in held.items() if not isinstance(entry, Tensor)]:
        raise ConfigurationError(f"store_model: the state of {odd[0]} is no tensor, and is not stored")
    kept = {name: entry.detach().cpu().contiguous().clone() for name, entry in held.items() if name not in ties}
    safetensors.torch.save_file(kept, path)


def _as_loaded(stored: StoredModel) -> nn.Module:
    try:
        return load_model(stored, allowed=[stored.class_path])
    except EvidenceError as error:
        raise ConfigurationError(f"store_model: what was stored cannot be loaded: {error}") from None


def _write_example(path: Path, copy: nn.Module, example: Any) -> tuple[dict[str, Any], Any]:
    import safetensors.torch

    inputs_layout, inputs = pack(example, "inputs")
    outputs = predict(copy, example)
    outputs_layout, results = pack(outputs, "outputs")
    safetensors.torch.save_file(inputs | results, path)
    return {"inputs": inputs_layout, "outputs": plain(outputs_layout)}, outputs


def _compare(module: nn.Module, example: Any, outputs: Any) -> None:
    """With the module that is at hand: what its class makes from its arguments must be the same network."""
    device = next((weight.device for weight in module.parameters()), None)
    own = predict(module, _moved(example, device))
    if why := differences(own, outputs):
        raise ConfigurationError(
            f"store_model: {type(module).__name__}, made anew from its arguments, predicts something else ({why}); "
            "it must hold nothing that its arguments and its state_dict do not tell"
        )


def _moved(value: Any, device: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _moved(item, device) for key, item in value.items()}
    return type(value)(_moved(item, device) for item in value)
