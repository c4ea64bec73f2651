"""The review page: what a person reads before signing."""

from typing import TYPE_CHECKING

from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.card.app import review_app
    from safeguards.card.server import serve_review

__all__ = ["review_app", "serve_review"]

_HOMES = {"review_app": "app", "serve_review": "server"}


__getattr__ = lazy(__name__, _HOMES)
