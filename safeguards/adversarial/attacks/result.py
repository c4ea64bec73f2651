"""What an attack leaves: one place per row, and whether it could steer at all. Shapes: N rows, ... a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec

import torch
from torch import Tensor

from safeguards.adversarial.attacks.ball import Ball
from safeguards.adversarial.attacks.loss import LogitsOf

__all__ = ["Attacked", "felt", "outside_inference"]

P = ParamSpec("P")


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """``x`` (N, ...): the first place where a row was wrong, else where its attack ended.

    Per row (N,) bool: ``sloped`` the input gradient was finite and not all zero, ``steered`` so it was on the features
    that may change, ``moved`` the row left its start, or its start was wrong already.
    """

    x: Tensor
    sloped: Tensor
    steered: Tensor
    moved: Tensor


def outside_inference(
    attack: Callable[Concatenate[LogitsOf, Tensor, P], Attacked],
) -> Callable[Concatenate[LogitsOf, Tensor, P], Attacked]:
    """Run an attack on ordinary tensors, none of which asks for a gradient but where it asks for the slope.

    Gradients are on throughout: to turn them on and off at every step takes longer than the step's own arithmetic.
    """

    @wraps(attack)
    def run(logits_of: LogitsOf, x: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> Attacked:
        with torch.inference_mode(False), torch.enable_grad():
            return attack(logits_of, x.detach().clone(), *args, **kwargs)

    return run


def felt(gradient: Tensor, ball: Ball) -> Tensor:
    """(sloped, steered) of a gradient (N, ...), as bool (2, N)."""
    steepness = gradient.abs()
    steepest = steepness.flatten(1).amax(1)
    sloped = (steepest > 0) & (steepest < torch.inf)
    if ball.scale.numel() == 1:  # one eps for all features, which is not 0
        return sloped.expand(2, -1)
    return torch.stack([sloped, sloped & (steepness.mul_(ball.scale > 0).flatten(1).amax(1) > 0)])
