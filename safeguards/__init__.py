"""Safeguards inside deep-learning training: callbacks that watch, verdicts that say how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safeguards import _telemetry as _telemetry
from safeguards.core.batch import BatchFields
from safeguards.core.errors import LimitViolated, SafeguardError
from safeguards.core.limit import Limit
from safeguards.core.rows import Rows, Sample
from safeguards.core.run import verdicts
from safeguards.core.safeguard import Safeguard, SafeguardOptions
from safeguards.core.scene import Scene
from safeguards.core.verdict import Measurement, Moment, Outcome, Verdict

if TYPE_CHECKING:
    from safeguards.adversarial.guard import AdversarialEvaluation
    from safeguards.adversarial.threat import ThreatModel
    from safeguards.drift.guard import DriftReport
    from safeguards.fairness.guard import FairnessCheck
    from safeguards.overfitting.guard import OverfittingGuard

__all__ = [
    "AdversarialEvaluation",
    "BatchFields",
    "DriftReport",
    "FairnessCheck",
    "Limit",
    "LimitViolated",
    "Measurement",
    "Moment",
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

_TOPICS = {
    "AdversarialEvaluation": "safeguards.adversarial.guard",
    "ThreatModel": "safeguards.adversarial.threat",
    "DriftReport": "safeguards.drift.guard",
    "FairnessCheck": "safeguards.fairness.guard",
    "OverfittingGuard": "safeguards.overfitting.guard",
}


def __getattr__(name: str) -> Any:
    """Topics load when they are used."""
    if name not in _TOPICS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_TOPICS[name]), name)
