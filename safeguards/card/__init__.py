"""The model card and the review page: what a person reads before signing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safeguards.card.app import review_app
    from safeguards.card.server import serve_review

__all__ = ["review_app", "serve_review"]

_HOMES = {"review_app": "app", "serve_review": "server"}


def __getattr__(name: str) -> Any:
    """A name loads its module when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
