"""What goes on around a training that repeats itself: data taken in, the decision, the steps, the comparison."""

from typing import TYPE_CHECKING

from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.core.errors import AlreadyRunning, DataRefused
    from safeguards.retraining.asking import Answers, Attack, answers, same_rows
    from safeguards.retraining.auditbook import AuditBook
    from safeguards.retraining.commands import Commands
    from safeguards.retraining.comparing import FROZEN, compared
    from safeguards.retraining.deciding import Decision, broken, decision, refuse_broken
    from safeguards.retraining.desk import Desk, Scheduled
    from safeguards.retraining.intake import MANIFEST, Delivery, Manifest, deliver, take, taken
    from safeguards.retraining.job import Job, only_one
    from safeguards.retraining.keeping import KeepModel, Kept
    from safeguards.retraining.live import LiveCheck, alarms
    from safeguards.retraining.looking import Look, lacks
    from safeguards.retraining.notify import WEBHOOK, Notice
    from safeguards.retraining.publishing import publish_audit, write_ledger
    from safeguards.retraining.shelf import DELIVERY, Shelf
    from safeguards.retraining.ticks import Ticks
    from safeguards.retraining.trigger import Audit, Trigger

__all__ = [
    "DELIVERY",
    "FROZEN",
    "MANIFEST",
    "WEBHOOK",
    "AlreadyRunning",
    "Answers",
    "Attack",
    "Audit",
    "AuditBook",
    "Commands",
    "DataRefused",
    "Decision",
    "Delivery",
    "Desk",
    "Job",
    "KeepModel",
    "Kept",
    "LiveCheck",
    "Look",
    "Manifest",
    "Notice",
    "Scheduled",
    "Shelf",
    "Ticks",
    "Trigger",
    "alarms",
    "answers",
    "broken",
    "compared",
    "decision",
    "deliver",
    "lacks",
    "only_one",
    "publish_audit",
    "refuse_broken",
    "same_rows",
    "take",
    "taken",
    "write_ledger",
]

_HOMES = {
    **dict.fromkeys(("AlreadyRunning", "DataRefused"), "safeguards.core.errors"),
    **dict.fromkeys(("Answers", "Attack", "answers", "same_rows"), "asking"),
    "AuditBook": "auditbook",
    "Commands": "commands",
    **dict.fromkeys(("FROZEN", "compared"), "comparing"),
    **dict.fromkeys(("Decision", "broken", "decision", "refuse_broken"), "deciding"),
    **dict.fromkeys(("Desk", "Scheduled"), "desk"),
    **dict.fromkeys(("MANIFEST", "Delivery", "Manifest", "deliver", "take", "taken"), "intake"),
    **dict.fromkeys(("Job", "only_one"), "job"),
    **dict.fromkeys(("KeepModel", "Kept"), "keeping"),
    **dict.fromkeys(("LiveCheck", "alarms"), "live"),
    **dict.fromkeys(("Look", "lacks"), "looking"),
    **dict.fromkeys(("WEBHOOK", "Notice"), "notify"),
    **dict.fromkeys(("DELIVERY", "Shelf"), "shelf"),
    **dict.fromkeys(("publish_audit", "write_ledger"), "publishing"),
    "Ticks": "ticks",
    **dict.fromkeys(("Audit", "Trigger"), "trigger"),
}


__getattr__ = lazy(__name__, _HOMES)
"""Taking in data needs no torch."""
