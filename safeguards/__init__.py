"""Safeguards inside deep-learning training: callbacks that watch, verdicts that say how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeguards import _telemetry as _telemetry
from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.adversarial.guard import AdversarialEvaluation
    from safeguards.adversarial.threat import ThreatModel
    from safeguards.core.batch import BatchFields
    from safeguards.core.errors import ConfigurationError, LimitViolated, NotApplicable, SafeguardError
    from safeguards.core.limit import Limit
    from safeguards.core.rows import Rows, Sample
    from safeguards.core.run import verdicts
    from safeguards.core.safeguard import Safeguard, SafeguardOptions
    from safeguards.core.scene import Scene
    from safeguards.core.verdict import Measurement, Moment, Outcome, Verdict
    from safeguards.drift.guard import DriftReport
    from safeguards.fairness.guard import FairnessCheck
    from safeguards.overfitting.guard import OverfittingGuard

__all__ = [
    "AdversarialEvaluation",
    "BatchFields",
    "ConfigurationError",
    "DriftReport",
    "FairnessCheck",
    "Limit",
    "LimitViolated",
    "Measurement",
    "Moment",
    "NotApplicable",
    "Outcome",
    "OverfittingGuard",
    "Rows",
    "Safeguard",
    "SafeguardError",
    "SafeguardOptions",
    "Sample",
    "Scene",
    "ThreatModel",
    "Verdict",
    "verdicts",
]

_HOMES = {
    "AdversarialEvaluation": "adversarial.guard",
    "BatchFields": "core.batch",
    "ConfigurationError": "core.errors",
    "DriftReport": "drift.guard",
    "FairnessCheck": "fairness.guard",
    "Limit": "core.limit",
    "LimitViolated": "core.errors",
    "Measurement": "core.verdict",
    "Moment": "core.verdict",
    "NotApplicable": "core.errors",
    "Outcome": "core.verdict",
    "OverfittingGuard": "overfitting.guard",
    "Rows": "core.rows",
    "Safeguard": "core.safeguard",
    "SafeguardError": "core.errors",
    "SafeguardOptions": "core.safeguard",
    "Sample": "core.rows",
    "Scene": "core.scene",
    "ThreatModel": "adversarial.threat",
    "Verdict": "core.verdict",
    "verdicts": "core.run",
}


__getattr__ = lazy(__name__, _HOMES)
"""A name loads its module when it is used, so that a command that needs no torch starts at once."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
