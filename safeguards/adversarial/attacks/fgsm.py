"""The fast gradient sign method (Goodfellow, Shlens and Szegedy 2015, arXiv 1412.6572): one step of the whole eps."""

from __future__ import annotations

from torch import Tensor

from safeguards.adversarial.attacks.ball import ball_around
from safeguards.adversarial.attacks.loss import LogitsOf, Target, slope
from safeguards.adversarial.attacks.result import Attacked, felt, outside_inference
from safeguards.adversarial.threat import ThreatModel

__all__ = ["fgsm"]


@outside_inference
def fgsm(logits_of: LogitsOf, x: Tensor, y: Tensor, threat: ThreatModel, *, multiple: float = 1.0) -> Attacked:
    """Attack rows ``x`` (N, ...) of classes ``y`` (N,) at ``multiple`` times eps, from the rows themselves; 1 forward.

    For ``norm="2"`` the step is along the gradient in units of eps.
    """
    ball = ball_around(x, threat, multiple=multiple)
    _, gradient = slope(logits_of, x, Target(y))
    sloped, steered = felt(gradient, ball)
    stepped = ball.step(x, gradient, 1.0)
    return Attacked(x=stepped, sloped=sloped, steered=steered, moved=(stepped != x).flatten(1).any(1))
