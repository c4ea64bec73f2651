"""The limits that a training configuration sets, which a search may take as its constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from safeguards.core.names import labels
from safeguards.core.safeguard import Safeguard

__all__ = ["declared_limits"]


def declared_limits(callbacks: Sequence[Mapping[str, Any]]) -> list[str]:
    """``<safeguard>/<measure>`` of every limit, as its verdicts will be called.

    Each callback is a mapping with a ``class_path`` and ``init_args``, as LightningCLI has it; what is no safeguard is
    passed over. Their classes are imported, none is made.
    """
    kinds = [_class_of(callback["class_path"]) for callback in callbacks]
    given = [(kind, one.get("init_args", {})) for kind, one in zip(kinds, callbacks, strict=True)]
    watching = [(kind, own) for kind, own in given if issubclass(kind, Safeguard)]
    named = labels((own.get("name"), kind.topic) for kind, own in watching)
    return [f"{label}/{measure}" for label, (_, own) in zip(named, watching, strict=True) for measure in own["limits"]]


def _class_of(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found
