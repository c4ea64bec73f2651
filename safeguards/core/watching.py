"""Leave no trace: whatever happens inside, training goes on as if nobody had looked.

Freezing the parameters is not enough. Attacks and reports also clear half-accumulated gradients, leave modules in eval
mode, move random number generators, and a user's ``forward`` may log or update a buffer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Trace", "no_trace"]


@contextmanager
def no_trace(module: nn.Module) -> Iterator[None]:
    """`Trace.hidden` once."""
    with Trace(module).hidden():
        yield


class Trace:
    """What could be left behind in a module and in the process. Made once per validation: walking a module costs."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._parameters = list(module.parameters())
        self._children = list(module.modules())
        self._buffers = [(child, name) for child in self._children for name in child._buffers]
        self._loud = [child for child in self._children if callable(getattr(child, "log_dict", None))]

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Run the body in eval mode, outside inference mode, recording no gradients; put everything back after.

        Everything is: ``requires_grad`` and ``.grad`` of every parameter, the train flag of every submodule, every
        buffer, and the random states of torch, CUDA (current device, once CUDA is in use), numpy and python.
        ``self.log`` of LightningModules is silent inside.
        """
        undo = [
            self._keep_parameters(),
            self._keep_modes(),
            self._keep_buffers(),
            _keep_random_states(),
            self._silence_logging(),
        ]
        try:
            if any(child.training for child in self._children):
                self.module.eval()
            with torch.inference_mode(False), torch.no_grad():
                yield
        finally:
            with torch.inference_mode(False), torch.no_grad():
                for put_back in undo:
                    put_back()

    def _keep_parameters(self) -> Callable[[], None]:
        kept = [(parameter, parameter.requires_grad, parameter.grad) for parameter in self._parameters]
        for parameter, _, gradient in kept:
            if gradient is not None:
                parameter.grad = None

        def put_back() -> None:
            for parameter, requires_grad, gradient in kept:
                if parameter.requires_grad != requires_grad:
                    parameter.requires_grad_(requires_grad)
                if parameter.grad is not gradient:
                    parameter.grad = gradient

        return put_back

    def _keep_modes(self) -> Callable[[], None]:
        kept = [child.training for child in self._children]

        def put_back() -> None:
            for child, training in zip(self._children, kept, strict=True):
                if child.training != training:
                    child.training = training

        return put_back

    def _keep_buffers(self) -> Callable[[], None]:
        kept = [
            (child, name, buffer, buffer.detach().clone())
            for child, name in self._buffers
            if (buffer := child._buffers.get(name)) is not None
        ]

        def put_back() -> None:
            for child, name, buffer, value in kept:
                child._buffers[name] = buffer
                if not _same(buffer, value):
                    buffer.copy_(value)

        return put_back

    def _silence_logging(self) -> Callable[[], None]:
        own = [(child, name, vars(child).get(name)) for child in self._loud for name in ("log", "log_dict")]
        for child, name, _ in own:
            object.__setattr__(child, name, _say_nothing)

        def put_back() -> None:
            for child, name, previous in own:
                if previous is None:
                    object.__delattr__(child, name)
                else:
                    object.__setattr__(child, name, previous)

        return put_back


def _same(buffer: Tensor, value: Tensor) -> bool:
    """By value: batch norm changes its statistics without telling torch's version counter."""
    return buffer.shape == value.shape and torch.equal(buffer, value)


def _keep_random_states() -> Callable[[], None]:
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    cuda_state = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]

    def put_back() -> None:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state)

    return put_back


def _say_nothing(*_: Any, **__: Any) -> None:
    """Stands in for ``self.log`` while a safeguard runs a forward of its own."""
