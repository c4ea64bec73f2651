"""One callback base for both namespaces of Lightning.

Callbacks of `pytorch_lightning` and `lightning.pytorch` run in each other's trainers, so whichever is loaded already is
enough; a class of both is made only when both are loaded, so that nobody imports a package that he does not use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

__all__ = [
    "NAMESPACES",
    "STEP_HOOKS",
    "TRAINING_STEP",
    "WATCHED_STEP",
    "Callback",
    "enter",
    "installed_namespaces",
    "leave_out",
    "loaded_namespaces",
]

NAMESPACES = ("pytorch_lightning", "lightning.pytorch")
TRAINING_STEP = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
WATCHED_STEP = {
    "validate": ("on_validation_batch_start", "on_validation_batch_end"),
    "test": ("on_test_batch_start", "on_test_batch_end"),
}
STEP_HOOKS = (*TRAINING_STEP, *chain.from_iterable(WATCHED_STEP.values()))


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


def leave_out(callback: Callback, hooks: Iterable[str], *, base: type[Callback]) -> None:
    """Spare a callback those hooks of a step that it has from ``base``, and neither from its class nor as its own.

    Lightning enters each hook of each callback in every step, at a cost, but for those that cannot be called.
    """
    for hook in hooks:
        if hook not in vars(callback) and getattr(type(callback), hook) is getattr(base, hook):
            setattr(callback, hook, None)


def enter(callback: Callback, hooks: Iterable[str]) -> None:
    """Have those hooks called again."""
    for hook in hooks:
        if vars(callback).get(hook, hook) is None:
            delattr(callback, hook)
