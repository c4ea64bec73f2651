"""The limits that a training configuration sets, which a search may take as its constraints."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from safeguards.core.errors import ConfigurationError
from safeguards.core.names import labels
from safeguards.core.safeguard import Safeguard

__all__ = ["chosen_limits", "declared_limits"]


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


def chosen_limits(callbacks: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> list[str]:
    """The limits called so, all that these callbacks declare by default. Raises `ConfigurationError` for an unknown."""
    known = declared_limits(callbacks)
    for name in names or []:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            hint = f"did you mean {near[0]!r}?" if near else "no safeguard of the training run has a limit"
            raise ConfigurationError(f"constraints: no safeguard sets {name!r}; {hint}")
    return known if names is None else list(names)


def _class_of(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found
