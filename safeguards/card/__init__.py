"""The model card and the review page: what a person reads before signing."""

from typing import TYPE_CHECKING

from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.card.app import review_app
    from safeguards.card.card import model_card, write_card
    from safeguards.card.evidence import Evidence, NoEvidence, evidence_of
    from safeguards.card.lint import lint_card
    from safeguards.card.server import review_address, serve_review
    from safeguards.card.stated import Risk, Stated
    from safeguards.card.versions import VersionCard, write_cards

__all__ = [
    "Evidence",
    "NoEvidence",
    "Risk",
    "Stated",
    "VersionCard",
    "evidence_of",
    "lint_card",
    "model_card",
    "review_address",
    "review_app",
    "serve_review",
    "write_card",
    "write_cards",
]

_HOMES = {
    "Evidence": "evidence",
    "NoEvidence": "evidence",
    "Risk": "stated",
    "Stated": "stated",
    "VersionCard": "versions",
    "evidence_of": "evidence",
    "lint_card": "lint",
    "model_card": "card",
    "review_address": "server",
    "review_app": "app",
    "serve_review": "server",
    "write_card": "card",
    "write_cards": "versions",
}


__getattr__ = lazy(__name__, _HOMES)
