"""Record, policy, promotion: whether a retrained model may replace the one in production, and why not."""

from typing import TYPE_CHECKING

from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.core.signing import Signer, Verifier
    from safeguards.gate.auditing import Finding, audit
    from safeguards.gate.candidate import Candidate
    from safeguards.gate.carding import attach_card
    from safeguards.gate.countersigning import countersign
    from safeguards.gate.entering import champion
    from safeguards.gate.history import Entry, History
    from safeguards.gate.judging import Ruling, judge
    from safeguards.gate.loading import load_model
    from safeguards.gate.paired import Comparison, compare_means, compare_rates
    from safeguards.gate.policy import Policy, Waiver
    from safeguards.gate.promotion import promote
    from safeguards.gate.record import Record
    from safeguards.gate.restoring import rollback
    from safeguards.gate.sealing import seal
    from safeguards.gate.store import store_model
    from safeguards.gate.stored import StoredModel

__all__ = [
    "Candidate",
    "Comparison",
    "Entry",
    "Finding",
    "History",
    "Policy",
    "Record",
    "Ruling",
    "Signer",
    "StoredModel",
    "Verifier",
    "Waiver",
    "attach_card",
    "audit",
    "champion",
    "compare_means",
    "compare_rates",
    "countersign",
    "judge",
    "load_model",
    "promote",
    "rollback",
    "seal",
    "store_model",
]

_HOMES = {
    "Candidate": "candidate",
    "Comparison": "paired",
    "Entry": "history",
    "Finding": "auditing",
    "History": "history",
    "Policy": "policy",
    "Record": "record",
    "Ruling": "judging",
    "Signer": "safeguards.core.signing",
    "StoredModel": "stored",
    "Verifier": "safeguards.core.signing",
    "Waiver": "policy",
    "attach_card": "carding",
    "audit": "auditing",
    "champion": "entering",
    "compare_means": "paired",
    "compare_rates": "paired",
    "countersign": "countersigning",
    "judge": "judging",
    "load_model": "loading",
    "promote": "promotion",
    "rollback": "restoring",
    "seal": "sealing",
    "store_model": "store",
}


__getattr__ = lazy(__name__, _HOMES)
"""Reading a record needs no torch."""
