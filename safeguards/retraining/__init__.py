"""What goes on around a training that repeats itself: data taken in, the decision, the steps, the comparison."""

from typing import TYPE_CHECKING

from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.core.errors import AlreadyRunning, DataRefused
    from safeguards.retraining.asking import UNLABELLED, Answers, Attack, answers, same_rows
    from safeguards.retraining.auditbook import AuditBook
    from safeguards.retraining.auditing import Held
    from safeguards.retraining.cards import carded, carded_again
    from safeguards.retraining.commands import Commands
    from safeguards.retraining.comparing import FROZEN, compared
    from safeguards.retraining.deciding import Decision, broken, decision, refuse_broken
    from safeguards.retraining.desk import Desk, Scheduled
    from safeguards.retraining.endings import COMPLETE, as_of_now, conclusion, ending
    from safeguards.retraining.intake import MANIFEST, Delivery, Manifest, deliver, take, taken
    from safeguards.retraining.job import Job, only_one
    from safeguards.retraining.keeping import KeepModel, Kept
    from safeguards.retraining.live import LiveCheck, alarms
    from safeguards.retraining.looking import Look, lacking
    from safeguards.retraining.notify import WEBHOOK, Notice, without_webhook
    from safeguards.retraining.publishing import publish_audit, write_ledger
    from safeguards.retraining.retention import prune
    from safeguards.retraining.round import Round
    from safeguards.retraining.shelf import DELIVERY, Shelf
    from safeguards.retraining.testrows import asked_of, paths_of
    from safeguards.retraining.ticks import Ticks
    from safeguards.retraining.training import trained
    from safeguards.retraining.trigger import Audit, Trigger
    from safeguards.retraining.warm import SearchFor, searched

__all__ = [
    "COMPLETE",
    "DELIVERY",
    "FROZEN",
    "MANIFEST",
    "UNLABELLED",
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
    "Held",
    "Job",
    "KeepModel",
    "Kept",
    "LiveCheck",
    "Look",
    "Manifest",
    "Notice",
    "Round",
    "Scheduled",
    "SearchFor",
    "Shelf",
    "Ticks",
    "Trigger",
    "alarms",
    "answers",
    "as_of_now",
    "asked_of",
    "broken",
    "carded",
    "carded_again",
    "compared",
    "conclusion",
    "decision",
    "deliver",
    "ending",
    "lacking",
    "only_one",
    "paths_of",
    "prune",
    "publish_audit",
    "refuse_broken",
    "same_rows",
    "searched",
    "take",
    "taken",
    "trained",
    "without_webhook",
    "write_ledger",
]

_HOMES = {
    **dict.fromkeys(("AlreadyRunning", "DataRefused"), "safeguards.core.errors"),
    **dict.fromkeys(("UNLABELLED", "Answers", "Attack", "answers", "same_rows"), "asking"),
    "AuditBook": "auditbook",
    "Held": "auditing",
    **dict.fromkeys(("carded", "carded_again"), "cards"),
    "Commands": "commands",
    **dict.fromkeys(("FROZEN", "compared"), "comparing"),
    **dict.fromkeys(("Decision", "broken", "decision", "refuse_broken"), "deciding"),
    **dict.fromkeys(("Desk", "Scheduled"), "desk"),
    **dict.fromkeys(("COMPLETE", "as_of_now", "conclusion", "ending"), "endings"),
    **dict.fromkeys(("MANIFEST", "Delivery", "Manifest", "deliver", "take", "taken"), "intake"),
    **dict.fromkeys(("Job", "only_one"), "job"),
    **dict.fromkeys(("KeepModel", "Kept"), "keeping"),
    **dict.fromkeys(("LiveCheck", "alarms"), "live"),
    **dict.fromkeys(("Look", "lacking"), "looking"),
    **dict.fromkeys(("WEBHOOK", "Notice", "without_webhook"), "notify"),
    "prune": "retention",
    "Round": "round",
    **dict.fromkeys(("DELIVERY", "Shelf"), "shelf"),
    **dict.fromkeys(("publish_audit", "write_ledger"), "publishing"),
    **dict.fromkeys(("asked_of", "paths_of"), "testrows"),
    "Ticks": "ticks",
    "trained": "training",
    **dict.fromkeys(("Audit", "Trigger"), "trigger"),
    **dict.fromkeys(("SearchFor", "searched"), "warm"),
}


__getattr__ = lazy(__name__, _HOMES)
"""Taking in data needs no torch."""
