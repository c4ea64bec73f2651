"""Where an attacked row may be: the ball of the threat model around it, cut by the range of its features.

Shapes: N rows, ... the shape of a row, D its features. ``share`` is a step as a share of eps, so that features with an
eps of their own move in proportion to it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from safeguards.adversarial.threat import ThreatModel
from safeguards.core.identity import mix

__all__ = ["Ball", "ball_around", "rows_shaped"]


class Ball:
    """The rows within reach of ``origin`` (N, ...).

    ``scale`` is the eps of each feature, 0 where it is fixed; ``limits`` its lowest and highest value.
    """

    def __init__(self, origin: Tensor, scale: Tensor, limits: tuple[Tensor, Tensor] | None) -> None:
        self.origin, self.scale, self.limits = origin, scale, limits

    def step(self, x: Tensor, gradient: Tensor, share: Tensor | float, going: Tensor | None = None) -> Tensor:
        """A step up the gradient, which is used up, of length ``share`` times eps, brought back into the ball.

        Where bool ``going`` (N,) is false a row of the ball stays where it is.
        """
        raise NotImplementedError

    def project(self, x: Tensor) -> Tensor:
        """The point of the ball for a point that left it."""
        raise NotImplementedError

    def offsets(self, seeds: Tensor) -> Tensor:
        """Random places in the unit ball (N, D), each row from its own seed alone."""
        raise NotImplementedError

    def start(self, seeds: Tensor) -> Tensor:
        """A random start (N, ...) for each row from its own int64 seed, whatever else is in the batch."""
        offsets = self.offsets(seeds).view_as(self.origin)
        return self.project(torch.addcmul(self.origin, self.scale, offsets.to(self.origin)))


class Box(Ball):
    """The maximum norm: each feature within its own interval."""

    def __init__(self, origin: Tensor, scale: Tensor, limits: tuple[Tensor, Tensor] | None) -> None:
        if bool((scale == scale.flatten()[:1]).all()):  # one number is enough, and makes a step take less time
            scale = scale.flatten()[:1].view([1] * scale.ndim)
        super().__init__(origin, scale, limits)
        self.low, self.high = origin - scale, origin + scale
        if limits is not None:
            self.low.clamp_min_(limits[0])
            self.high.clamp_max_(limits[1])

    def step(self, x: Tensor, gradient: Tensor, share: Tensor | float, going: Tensor | None = None) -> Tensor:
        length = self.scale * share
        if going is not None:  # a step of nothing, because to choose between two tensors takes longer
            length = length * rows_shaped(going, x)
        direction = gradient.sign_()  # 0 where it is NaN
        return torch.addcmul(x, length, direction).clamp_(self.low, self.high)

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)

    def offsets(self, seeds: Tensor) -> Tensor:
        return _words(seeds, self.origin[0].numel()).float().mul_(2**-31)


class Ellipsoid(Ball):
    """The Euclidean norm of the change in units of eps. The range is cut after the ball: both then hold, because
    moving a feature towards its range moves it towards a row that is in range.
    """

    def step(self, x: Tensor, gradient: Tensor, share: Tensor | float, going: Tensor | None = None) -> Tensor:
        slope = gradient.nan_to_num(0, 0, 0) * self.scale
        length = rows_shaped(_norms(slope), slope)
        stepped = self.project(x + share * self.scale * slope / length.clamp_min(torch.finfo(x.dtype).tiny))
        return stepped if going is None else torch.where(rows_shaped(going, x), stepped, x)

    def project(self, x: Tensor) -> Tensor:
        change = (x - self.origin) / self.scale.where(self.scale > 0, 1.0)
        shrunk = change / rows_shaped(_norms(change).clamp_min(1.0), change)
        inside = self.origin + self.scale * shrunk
        return inside if self.limits is None else inside.clamp(*self.limits)

    def offsets(self, seeds: Tensor) -> Tensor:
        """Uniform in the ball of the features that move: a direction, and a radius that fills the volume."""
        moves = (self.scale > 0).flatten().cpu()
        drawn = (_words(seeds, len(moves) + 1).double() + (2**31 + 0.5)) / 2**32  # neither 0 nor 1
        direction = torch.special.ndtri(drawn[:, 1:]) * moves
        radius = drawn[:, :1] ** (1 / max(1, int(moves.sum())))
        length = _norms(direction).unsqueeze(1).clamp_min(torch.finfo(drawn.dtype).tiny)
        offsets: Tensor = direction * radius / length
        return offsets


def ball_around(x: Tensor, threat: ThreatModel, *, multiple: float = 1.0) -> Ball:
    """The ball of ``multiple`` times eps around rows (N, ...).

    ``multiple=math.inf`` is the whole range of the features (`ThreatModel.clip` must be known), a box for either norm.
    """
    row = x[0]
    limits, reach = threat.range(row), threat.reach(row)
    kind, scale = Box if threat.norm == "inf" else Ellipsoid, reach * multiple
    if limits is not None and math.isinf(multiple):
        kind, scale = Box, limits[1] - limits[0]
    if limits is not None and not threat.moves_all:
        fixed = reach == 0
        scale = scale.masked_fill(fixed, 0.0)
        limits = limits[0].masked_fill_(fixed, -math.inf), limits[1].masked_fill_(fixed, math.inf)
    return kind(x, scale, limits)


def rows_shaped(values: Tensor, like: Tensor) -> Tensor:
    """One value per row (N,) as (N, 1, ...), to meet a tensor (N, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _norms(x: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return lengths


def _words(seeds: Tensor, count: int) -> Tensor:
    """Random int32 (N, count): numbers 2j and 2j + 1 of a row are the halves of a hash of its seed and j, so that each
    has 32 random bits, more than float32 keeps.
    """
    words = mix(mix(seeds).unsqueeze(1) + torch.arange((count + 1) // 2))
    return words.view(torch.int32)[:, :count]
