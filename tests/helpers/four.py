"""The four safeguards, set up once for every job that lets them judge together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safeguards import (
    AdversarialEvaluation,
    DriftReport,
    FairnessCheck,
    Limit,
    OverfittingGuard,
    Safeguard,
    ThreatModel,
)

TOPICS = ("overfitting", "fairness", "adversarial", "drift")
LIMITS = {
    "generalization_gap": Limit(at_most=0.5),
    "demographic_parity_difference": Limit(at_most=0.1),
    "robust_accuracy": Limit(at_least=0.5),
    "drifted_share": Limit(at_most=0.5),
}


def four(limits: Mapping[str, Limit] = LIMITS, own: Mapping[str, Any] | None = None, **common: Any) -> list[Safeguard]:
    """One limit each, judging in every validation; ``own`` are options of one by its topic, ``common`` those of all."""
    kinds = (OverfittingGuard, FairnessCheck, AdversarialEvaluation, DriftReport)
    needed: dict[str, Any] = {
        "adversarial": {"threat": ThreatModel(eps=0.1)},
        "drift": {"reference": "train", "report": False},
    }
    return [
        kind(limits={measure: limits[measure]}, **{**common, **needed.get(topic, {}), **(own or {}).get(topic, {})})
        for kind, topic, measure in zip(kinds, TOPICS, LIMITS, strict=True)
    ]
