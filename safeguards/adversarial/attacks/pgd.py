"""Projected gradient descent with restarts (Madry et al. 2018, arXiv 1706.06083)."""

from __future__ import annotations

import torch
from torch import Tensor

from safeguards.adversarial.attacks.ball import Ball, ball_around, rows_shaped
from safeguards.adversarial.attacks.loss import LogitsOf, Target, look, slope, wrong
from safeguards.adversarial.attacks.result import Attacked, felt, outside_inference
from safeguards.adversarial.attacks.runs import Runs
from safeguards.adversarial.threat import ThreatModel

__all__ = ["pgd"]


@outside_inference
def pgd(
    logits_of: LogitsOf,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    *,
    runs: Runs,
    share: float = 0.25,
    multiple: float = 1.0,
) -> Attacked:
    """Attack rows ``x`` (N, ...) of classes ``y`` (N,) at ``multiple`` times eps with steps of ``share`` times that.

    A row stays where it is once another class is above its own, while the others go on: every process makes
    ``steps + 1`` forwards per run but one in all, whatever the rows do.
    """
    ball = ball_around(x, threat, multiple=multiple)
    right = torch.ones(len(x), dtype=torch.bool, device=x.device)
    flags = torch.zeros(3, len(x), dtype=torch.bool, device=x.device)
    place, target = x, Target(y)
    for count, start in enumerate(runs.starts(ball)):
        if count:
            right &= ~wrong(look(logits_of, place), y)
            start = torch.where(rows_shaped(right, x), start, place)
        place, flags_here = _climb(logits_of, start, target, ball, right, runs.steps, share)
        flags |= flags_here
    return Attacked(x=place, sloped=flags[0], steered=flags[1], moved=flags[2])


def _climb(
    logits_of: LogitsOf, start: Tensor, target: Target, ball: Ball, right: Tensor, steps: int, share: float
) -> tuple[Tensor, Tensor]:
    """Where a run ends, and (sloped, steered, moved); ``right`` loses, in place, the rows that fall."""
    standing, gradient = slope(logits_of, start, target)
    flags = felt(gradient, ball)
    x = start
    for left in reversed(range(steps)):
        right &= standing.held
        x = ball.step(x, gradient, share, right)
        if left:
            standing, gradient = slope(logits_of, x, target)
    moved = ((x - start).abs_().flatten(1).amax(1) != 0) | ~right  # to ask whether any differs takes longer
    return x, torch.stack([*flags, moved])
