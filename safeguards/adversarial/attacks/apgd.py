"""Auto-PGD on cross-entropy (Croce and Hein 2020, arXiv 2003.01690, algorithm 1).

The step halves where it stops helping. Each row has its own step and its own best place, so that rows do not depend on
each other and no process leaves early.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from safeguards.adversarial.attacks.ball import Ball, ball_around, rows_shaped
from safeguards.adversarial.attacks.loss import LogitsOf, Target, slope
from safeguards.adversarial.attacks.result import Attacked, felt, outside_inference
from safeguards.adversarial.attacks.runs import Runs
from safeguards.adversarial.threat import ThreatModel

__all__ = ["apgd", "intervals"]

MOMENTUM = 0.75  # alpha of the paper
ENOUGH_RISES = 0.75  # rho of the paper: the share of steps of an interval that must raise the loss
FIRST_SHARE = 2.0  # the paper starts with steps of 2 eps


@outside_inference
def apgd(
    logits_of: LogitsOf, x: Tensor, y: Tensor, threat: ThreatModel, *, runs: Runs, multiple: float = 1.0
) -> Attacked:
    """Attack rows ``x`` (N, ...) of classes ``y`` (N,) at ``multiple`` times eps; the steps choose their own length.

    It takes ``steps + 1`` forwards per run on every process.
    """
    ball = ball_around(x, threat, multiple=multiple)
    right = torch.ones(len(x), dtype=torch.bool, device=x.device)
    flags = torch.zeros(3, len(x), dtype=torch.bool, device=x.device)
    place, target = x, Target(y)
    for start in runs.starts(ball):
        run = _Run(logits_of, start, target, ball)
        flags[:2] |= felt(run.gradient, ball)
        for count in intervals(runs.steps):
            run.interval(count)
        flags[2] |= (run.x != start).flatten(1).any(1)
        place = torch.where(rows_shaped(right, x), run.found(), place)
        right &= run.right
    return Attacked(x=place, sloped=flags[0], steered=flags[1], moved=flags[2])


def intervals(steps: int) -> list[int]:
    """How many steps lie between the paper's checkpoints at 0, 0.22, 0.41, ... of all steps."""
    percent, width, places = 0, 22, [0]
    while places[-1] < steps:
        percent, width = percent + width, max(width - 3, 6)
        places.append(min(steps, max(places[-1] + 1, math.ceil(percent * steps / 100))))
    return [after - before for before, after in pairwise(places)]


class _Run:
    """Where each row (N, ...) is, was, and was best, with its own step as a share of eps (N,)."""

    def __init__(self, logits_of: LogitsOf, start: Tensor, target: Target, ball: Ball) -> None:
        self.logits_of, self.target, self.ball = logits_of, target, ball
        self.x = self.before = self.best = self.fell_at = start
        self.right = torch.ones(len(start), dtype=torch.bool, device=start.device)
        self._measure()
        self.best_margin, self.best_gradient = self.margin, self.gradient
        self.share = torch.full((len(start),), FIRST_SHARE, dtype=start.dtype, device=start.device)
        self.halved = torch.zeros_like(self.right)

    def interval(self, count: int) -> None:
        """``count`` steps, then half the step for the rows that they did not help, which go back to their best."""
        earlier = self.best_margin
        rises = torch.stack([self._advance() for _ in range(count)]).sum(0)
        stuck = ~self.halved & (self.best_margin == earlier)
        self._halve((rises < ENOUGH_RISES * count) | stuck)

    def found(self) -> Tensor:
        """The first wrong place of each row, or its best."""
        return torch.where(rows_shaped(self.right, self.x), self.best, self.fell_at)

    def _measure(self) -> None:
        standing, self.gradient = slope(self.logits_of, self.x, self.target)
        self.margin = standing.margin
        fell = self.right & ~standing.held
        self.fell_at = torch.where(rows_shaped(fell, self.x), self.x, self.fell_at)
        self.right = self.right & ~fell

    def _advance(self) -> Tensor:
        """One step with momentum; bool (N,): the rows whose margin rose."""
        stepped = self.ball.step(self.x, self.gradient.clone(), rows_shaped(self.share, self.x))
        weight = 1.0 if self.before is self.x else MOMENTUM
        ahead = self.x + weight * (stepped - self.x) + (1 - weight) * (self.x - self.before)
        self.before, self.x, earlier = self.x, self.ball.project(ahead), self.margin
        self._measure()
        better = self.margin > self.best_margin
        shaped = rows_shaped(better, self.x)
        self.best, self.best_gradient = self._either(shaped, self.x, self.best, self.gradient, self.best_gradient)
        self.best_margin = torch.where(better, self.margin, self.best_margin)
        return self.margin > earlier

    def _halve(self, rows: Tensor) -> None:
        self.share, self.halved = torch.where(rows, self.share / 2, self.share), rows
        shaped = rows_shaped(rows, self.x)
        self.x, self.gradient = self._either(shaped, self.best, self.x, self.best_gradient, self.gradient)
        self.margin = torch.where(rows, self.best_margin, self.margin)

    @staticmethod
    def _either(rows: Tensor, x: Tensor, other_x: Tensor, slope: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(rows, x, other_x), torch.where(rows, slope, other)
