"""What attacks climb. Shapes: N rows, C classes; logits are (N, C), or (N,) for one logit with classes 0 and 1.

Attacks climb ``m = logsumexp of the other classes - own class``. Cross-entropy is ``softplus(m)``: it rises where m
rises, and row by row its gradient is a positive multiple of that of m, so signs and directions are the same. But m
does not saturate: a model sure of its answer by a margin of 100 has a cross-entropy gradient of zero in float32, and
by that alone would look robust.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["LogitsOf", "look", "margin", "predicted", "slope", "wrong"]

LogitsOf = Callable[[Tensor], Tensor]


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The margin m (N,), in float32 or wider: below 0 at every sure answer, above 0 at every sure mistake."""
    if logits.ndim == 1:
        return _wide(logits) * (1 - 2 * y)
    own = y.unsqueeze(1)
    wide = _wide(logits)
    return wide.scatter(1, own, -torch.inf).logsumexp(1) - wide.gather(1, own).squeeze(1)


def ascent(logits: Tensor, y: Tensor) -> Tensor:
    """Gradient of m with respect to the logits, in their shape: -1 at the own class, softmax over the others.

    Classes at -inf, which a mask rules out, have no share in it, and where that leaves the own class alone none has.
    """
    if logits.ndim == 1:
        return (1 - 2 * y).to(logits.dtype)
    own, wide = y.unsqueeze(1), _wide(logits)
    others = wide.scatter(1, own, torch.finfo(wide.dtype).min)  # above -inf: alone, the own class takes all shares
    return others.softmax(1).scatter_(1, own, -1.0).to(logits.dtype)


def predicted(logits: Tensor) -> Tensor:
    """Class (N,) of each row: the largest logit, or for one logit whether it is above 0."""
    return (logits > 0).long() if logits.ndim == 1 else logits.max(1).indices


def wrong(logits: Tensor, y: Tensor) -> Tensor:
    """Bool (N,): another class than ``y``, or no number at all."""
    missing = logits.isnan() if logits.ndim == 1 else logits.isnan().any(1)
    return (predicted(logits) != y) | missing


def slope(logits_of: LogitsOf, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logits at ``x`` and the gradient of m (N, ...), zero where nothing depends on x; parameters receive none."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = logits_of(x)
    if not logits.requires_grad:
        return logits, torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(logits, x, ascent(logits, y), allow_unused=True)
    return logits.detach(), torch.zeros_like(x) if gradient is None else gradient


def look(logits_of: LogitsOf, x: Tensor) -> Tensor:
    """Logits at ``x`` without a gradient."""
    with torch.no_grad():
        return logits_of(x)


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
