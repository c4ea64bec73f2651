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

__all__ = ["no_trace"]


@contextmanager
def no_trace(module: nn.Module) -> Iterator[None]:
    """Run the body in eval mode, outside inference mode, recording no gradients; put everything back after.

    Everything is: ``requires_grad`` and ``.grad`` of every parameter, the train flag of every submodule, every buffer,
    and the random states of torch, CUDA (current device, once CUDA is in use), numpy and python. ``self.log`` of
    LightningModules is silent inside.
    """
    undo = [
        _keep_parameters(module),
        _keep_modes(module),
        _keep_buffers(module),
        _keep_random_states(),
        _silence_logging(module),
    ]
    try:
        module.eval()
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        with torch.inference_mode(False), torch.no_grad():
            for put_back in undo:
                put_back()


def _keep_parameters(module: nn.Module) -> Callable[[], None]:
    kept = [(parameter, parameter.requires_grad, parameter.grad) for parameter in module.parameters()]
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


def _keep_modes(module: nn.Module) -> Callable[[], None]:
    kept = [(child, child.training) for child in module.modules()]

    def put_back() -> None:
        for child, training in kept:
            child.training = training

    return put_back


def _keep_buffers(module: nn.Module) -> Callable[[], None]:
    kept = [
        (child, name, buffer, buffer.detach().clone())
        for child in module.modules()
        for name, buffer in child._buffers.items()
        if buffer is not None
    ]

    def put_back() -> None:
        for child, name, buffer, value in kept:
            child._buffers[name] = buffer
            if not _same(buffer, value):
                buffer.copy_(value)

    return put_back


def _same(buffer: Tensor, value: Tensor) -> bool:
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


def _silence_logging(module: nn.Module) -> Callable[[], None]:
    loud = [child for child in module.modules() if callable(getattr(child, "log_dict", None))]
    own = [(child, name, vars(child).get(name)) for child in loud for name in ("log", "log_dict")]
    for child, name, _ in own:
        object.__setattr__(child, name, _say_nothing)

    def put_back() -> None:
        for child, name, previous in own:
            if previous is None:
                object.__delattr__(child, name)
            else:
                object.__setattr__(child, name, previous)

    return put_back


def _say_nothing(*_: Any, **__: Any) -> None:
    """Stands in for ``self.log`` while a safeguard runs a forward of its own."""
