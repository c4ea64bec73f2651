"""What goes on around a training that repeats itself: data taken in, the decision, the steps, the comparison."""

from safeguards.retraining.answers import Answers, Attack, answers, same_rows
from safeguards.retraining.deciding import Decision, broken, decision, refuse_broken
from safeguards.retraining.intake import MANIFEST, Delivery, Manifest, deliver, take, taken
from safeguards.retraining.job import Job, only_one
from safeguards.retraining.trigger import Audit, Trigger, append_audit, audits

__all__ = [
    "MANIFEST",
    "Answers",
    "Attack",
    "Audit",
    "Decision",
    "Delivery",
    "Job",
    "Manifest",
    "Trigger",
    "answers",
    "append_audit",
    "audits",
    "broken",
    "decision",
    "deliver",
    "only_one",
    "refuse_broken",
    "same_rows",
    "take",
    "taken",
]
