"""When a live audit opens a retraining: k alarms of the last n, and none again for a while. Pure.

Audits are counted, never timed: a clock that is wrong, or set back, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safeguards.core.errors import ConfigurationError

__all__ = ["Audit", "Trigger"]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Which data were looked at, with which model, whether that alarmed and why, and whether it opened a retraining.

    ``job`` names the model, the data and the settings together: under other settings it is another look.
    """

    data: str
    model: str
    alarm: bool
    opened: bool
    reasons: tuple[str, ...] = ()
    job: str = ""


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """``k`` alarms among the last ``n`` audits of the same model, and none opened among its last ``cooldown``."""

    k: int = 2
    n: int = 3
    cooldown: int = 3

    def __post_init__(self) -> None:
        whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (self.k, self.n, self.cooldown))
        if not (whole and 1 <= self.k <= self.n and self.cooldown >= 0):
            raise ConfigurationError(f"{self}: expected whole numbers with 1 <= k <= n and cooldown >= 0")

    def opens(self, past: Sequence[Audit], *, model: str, alarm: bool) -> bool:
        """Whether the audit that comes after ``past`` opens a retraining. What was said of another model is past."""
        own = [audit for audit in past if audit.model == model]
        if self.cooldown and any(audit.opened for audit in own[-self.cooldown :]):
            return False
        alarms = [*(audit.alarm for audit in own), alarm][-self.n :]
        return alarm and sum(alarms) >= self.k
