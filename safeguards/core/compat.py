"""One callback base for both namespaces of Lightning.

Callbacks of `pytorch_lightning` and `lightning.pytorch` run in each other's trainers, so whichever is loaded already is
enough; a class of both is made only when both are loaded, so that nobody imports a package that he does not use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING

__all__ = [
    "NAMESPACES",
    "STEP_HOOKS",
    "Callback",
    "installed_namespaces",
    "loaded_namespaces",
    "take_no_steps",
]

NAMESPACES = ("pytorch_lightning", "lightning.pytorch")
STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


def loaded_namespaces() -> list[str]:
    """The namespaces that this process has imported."""
    return [name for name in NAMESPACES if sys.modules.get(name) is not None]


def installed_namespaces() -> list[str]:
    """The namespaces that could be imported."""
    return [name for name in NAMESPACES if importlib.util.find_spec(name.partition(".")[0])]


def _callback() -> type:
    names = loaded_namespaces() or installed_namespaces()[:1]
    bases = tuple(importlib.import_module(f"{name}.callbacks").Callback for name in names)
    return bases[0] if len(bases) == 1 else type("Callback", bases, {"__module__": __name__})


if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback
else:
    Callback = _callback()


def take_no_steps(callback: Callback) -> None:
    """Spare a callback the hooks of a training step that its class leaves as they are.

    Lightning enters each hook of each callback in every step, at a cost, but for those that cannot be called.
    """
    for hook in STEP_HOOKS:
        if getattr(type(callback), hook) is getattr(Callback, hook):
            setattr(callback, hook, None)
