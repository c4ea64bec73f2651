"""`safeguards review`: runs against safeguards, in a browser."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["run"]


def run(*, tracking_uri: str, host: str, port: int, hosts: Sequence[str], quiet: bool) -> int:
    """Serve the page until interrupted. Returns 0; raises `ConfigurationError` where it cannot."""
    from safeguards.card import serve_review

    serve_review(tracking_uri, host=host, port=port, hosts=hosts, say=_nothing if quiet else _say)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _nothing(text: str) -> None:
    pass
