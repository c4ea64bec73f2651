"""What attacks climb. Shapes: N rows, C classes; logits are (N, C), or (N,) for one logit with classes 0 and 1.

Attacks climb ``m = logsumexp of the other classes - own class``. Cross-entropy is ``softplus(m)``: it rises where m
rises, and row by row its gradient is a positive multiple of that of m, so signs and directions are the same. But m
does not saturate: a model sure of its answer by a margin of 100 has a cross-entropy gradient of zero in float32, and
by that alone would look robust.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LogitsOf", "Standing", "Target", "look", "predicted", "slope", "wrong"]

LogitsOf = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Standing:
    """The logits of the other classes, ``others`` (C, N), beside the own class's, ``own`` (N,); float32 or wider.

    In ``others`` the own class is at the lowest number, which is above the -inf of a class that a mask rules out.
    """

    others: Tensor
    own: Tensor

    @property
    def margin(self) -> Tensor:
        """The margin m (N,): below 0 at every sure answer, above 0 at every sure mistake."""
        return self.others.logsumexp(0) - self.own

    @property
    def held(self) -> Tensor:
        """Bool (N,): no other class is above the own one, and all are numbers. A tie is held: the attack goes on."""
        return self.own >= self.others.amax(0)


class Target:
    """The classes ``y`` (N,) of attacked rows, which an attack climbs away from.

    What has the shape of the logits is made once, at the first ones. It lies class by class, (C, N), because torch
    takes half the time to reduce many rows at once as to reduce a few classes row by row.
    """

    def __init__(self, y: Tensor) -> None:
        self.y = y
        self._own: _Own | None = None

    def standing(self, logits: Tensor) -> Standing:
        """How far each row is from another class."""
        wide = _wide(logits)
        if logits.ndim == 1:
            return Standing((wide * (1 - 2 * self.y)).unsqueeze(0), torch.zeros_like(wide))
        own, lowest = self._laid_out(wide), torch.finfo(wide.dtype).min
        # in the place of the own logit, not added to it: +inf would stay
        return Standing(torch.where(own.here, lowest, wide.t()), wide.take(own.places))

    def ascent(self, logits: Tensor, standing: Standing) -> Tensor:
        """Gradient of m with respect to the logits, in their shape: -1 at the own class, softmax over the others.

        It is 0 where a mask rules out all others.
        """
        if logits.ndim == 1:
            return (1 - 2 * self.y).to(logits.dtype)
        return standing.others.softmax(0).sub_(self._laid_out(standing.others.t()).hot).t().to(logits.dtype)

    def _laid_out(self, wide: Tensor) -> _Own:
        if self._own is None:
            self._own = _Own(wide, self.y)
        return self._own


class _Own:
    """Where the own class lies: ``here`` (C, N) as bool, ``hot`` as 1, ``places`` (N,) among all logits."""

    def __init__(self, logits: Tensor, y: Tensor) -> None:
        rows, classes = logits.shape
        self.hot = logits.new_zeros(classes, rows).scatter_(0, y.unsqueeze(0), 1.0)
        self.here = self.hot > 0
        self.places = torch.arange(0, rows * classes, classes, device=y.device) + y


def predicted(logits: Tensor) -> Tensor:
    """Class (N,) of each row: the largest logit, or for one logit whether it is above 0."""
    return (logits > 0).long() if logits.ndim == 1 else logits.max(1).indices


def wrong(logits: Tensor, y: Tensor) -> Tensor:
    """Bool (N,): another class than ``y``, or no number at all."""
    missing = logits.isnan() if logits.ndim == 1 else logits.isnan().any(1)
    return (predicted(logits) != y) | missing


def slope(logits_of: LogitsOf, x: Tensor, target: Target) -> tuple[Standing, Tensor]:
    """How rows stand at ``x``, and the gradient of m (N, ...), zero where nothing depends on x; parameters get none.

    Raises `RuntimeError` where gradients are off.
    """
    if not torch.is_grad_enabled():
        raise RuntimeError("gradients are off: there is no slope to be had")
    x = x.detach().requires_grad_()
    logits = logits_of(x)
    standing = target.standing(logits.detach())
    if not logits.requires_grad:
        return standing, torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(logits, x, target.ascent(logits, standing), allow_unused=True)
    if gradient is None:
        return standing, torch.zeros_like(x)
    return standing, gradient.clone() if 0 in gradient.stride() else gradient  # one number may stand for many


def look(logits_of: LogitsOf, x: Tensor) -> Tensor:
    """Logits at ``x`` without a gradient."""
    with torch.no_grad():
        return logits_of(x)


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
