"""What goes on around a training that repeats itself: data taken in, the decision, the steps, the comparison."""

from typing import TYPE_CHECKING

from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.core.errors import AlreadyRunning, DataRefused
    from safeguards.retraining.asking import Answers, Attack, answers, same_rows
    from safeguards.retraining.comparing import FROZEN, compared
    from safeguards.retraining.deciding import Decision, broken, decision, refuse_broken
    from safeguards.retraining.intake import MANIFEST, Delivery, Manifest, deliver, take, taken
    from safeguards.retraining.job import Job, only_one
    from safeguards.retraining.keeping import KeepModel, Kept
    from safeguards.retraining.looking import Look
    from safeguards.retraining.notify import WEBHOOK, Notice
    from safeguards.retraining.shelf import Shelf
    from safeguards.retraining.trigger import Audit, Trigger, append_audit, audits

__all__ = [
    "FROZEN",
    "MANIFEST",
    "WEBHOOK",
    "AlreadyRunning",
    "Answers",
    "Attack",
    "Audit",
    "DataRefused",
    "Decision",
    "Delivery",
    "Job",
    "KeepModel",
    "Kept",
    "Look",
    "Manifest",
    "Notice",
    "Shelf",
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
    **dict.fromkeys(("AlreadyRunning", "DataRefused"), "safeguards.core.errors"),
    **dict.fromkeys(("Answers", "Attack", "answers", "same_rows"), "asking"),
    **dict.fromkeys(("FROZEN", "compared"), "comparing"),
    **dict.fromkeys(("Decision", "broken", "decision", "refuse_broken"), "deciding"),
    **dict.fromkeys(("MANIFEST", "Delivery", "Manifest", "deliver", "take", "taken"), "intake"),
    **dict.fromkeys(("Job", "only_one"), "job"),
    **dict.fromkeys(("KeepModel", "Kept"), "keeping"),
    "Look": "looking",
    **dict.fromkeys(("WEBHOOK", "Notice"), "notify"),
    "Shelf": "shelf",
    **dict.fromkeys(("Audit", "Trigger", "append_audit", "audits"), "trigger"),
}


__getattr__ = lazy(__name__, _HOMES)
"""Taking in data needs no torch."""
