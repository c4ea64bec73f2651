"""What goes on around a training that repeats itself: data taken in, the decision, the steps, the comparison."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safeguards.retraining.asking import Answers, Attack, answers, same_rows
    from safeguards.retraining.comparing import FROZEN, compared
    from safeguards.retraining.deciding import Decision, broken, decision, refuse_broken
    from safeguards.retraining.intake import MANIFEST, Delivery, Manifest, deliver, take, taken
    from safeguards.retraining.job import Job, only_one
    from safeguards.retraining.keeping import KeepModel
    from safeguards.retraining.notify import Notice
    from safeguards.retraining.trigger import Audit, Trigger, append_audit, audits

__all__ = [
    "FROZEN",
    "MANIFEST",
    "Answers",
    "Attack",
    "Audit",
    "Decision",
    "Delivery",
    "Job",
    "KeepModel",
    "Manifest",
    "Notice",
    "Trigger",
    "answers",
    "append_audit",
    "audits",
    "broken",
    "compared",
    "decision",
    "deliver",
    "only_one",
    "refuse_broken",
    "same_rows",
    "take",
    "taken",
]

_HOMES = {
    **dict.fromkeys(("Answers", "Attack", "answers", "same_rows"), "asking"),
    **dict.fromkeys(("FROZEN", "compared"), "comparing"),
    **dict.fromkeys(("Decision", "broken", "decision", "refuse_broken"), "deciding"),
    **dict.fromkeys(("MANIFEST", "Delivery", "Manifest", "deliver", "take", "taken"), "intake"),
    **dict.fromkeys(("Job", "only_one"), "job"),
    "KeepModel": "keeping",
    "Notice": "notify",
    **dict.fromkeys(("Audit", "Trigger", "append_audit", "audits"), "trigger"),
}


def __getattr__(name: str) -> Any:
    """A name loads its module when it is used: taking in data needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
