"""How often and how long an attack of several steps tries."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from safeguards.adversarial.attacks.ball import Ball
from safeguards.core.identity import mix

__all__ = ["Runs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """``restarts`` random starts of ``steps`` each; 0 is one run from the rows themselves.

    A start is drawn from its row's own int64 seed, of ``seeds`` (N,).
    """

    seeds: Tensor
    steps: int = 10
    restarts: int = 1

    def starts(self, ball: Ball) -> list[Tensor]:
        """Where each run begins (N, ...)."""
        if self.restarts == 0:
            return [ball.origin]
        return [ball.start(mix(self.seeds, restart)) for restart in range(self.restarts)]
