"""`safeguards review`: the page, served from this machine to this machine unless told otherwise."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from safeguards.core.errors import ConfigurationError

__all__ = ["review_address", "review_server", "serve_review"]

log = logging.getLogger(__name__)
SLOWEST_REQUEST_SECONDS = 20.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = SLOWEST_REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Requests go to the log, in which addresses of pages hold nothing secret."""
        log.debug("%s %s", self.client_address[0], format % args)


def review_server(app: Callable[..., Any], *, host: str, port: int) -> WSGIServer:
    """A server that listens and does not yet answer. Port 0 takes any that is free.

    Raises `ConfigurationError` where nothing can listen there.
    """
    host = _plain(host)
    try:
        server = (_Server6 if ":" in host else _Server)((host, port), _Handler)
    except (OSError, OverflowError) as error:
        cause = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"cannot listen on {_bracketed(host)}:{port}: {cause}; name another --host or --port"
        ) from error
    server.set_app(app)
    return server


def serve_review(
    tracking_uri: str | None,
    *,
    host: str,
    port: int,
    hosts: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serve the review pages of the store at ``tracking_uri`` until interrupted.

    ``tracking_uri`` is `MLflowTracker`'s, ``hosts`` are `review_app`'s; ``say`` gets the address. Raises what
    `RunReader` raises.
    """
    from safeguards.card.app import review_app
    from safeguards.tracking import RunReader

    host = _plain(host)
    app = review_app(RunReader(tracking_uri), hosts=[*hosts, *_names(host)])
    with review_server(app, host=host, port=port) as server:
        say(f"review: {review_address(host, server.server_port)}/ (Ctrl-C ends it)")
        if not _is_loopback(host):
            say("anyone who can reach this address can read every run of the store; it asks for no password")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended")


def review_address(host: str, port: int) -> str:
    """Where a browser on this machine finds the page."""
    return f"http://{_bracketed(_plain(host))}:{port}"


def _plain(host: str) -> str:
    """Without the brackets of a URL; an address as a browser writes it."""
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    address = _address(host)
    return address.compressed if address else host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost"


def _names(host: str) -> list[str]:
    """An address of all interfaces is the name of none."""
    address = _address(host)
    nameless = address.is_unspecified if address else not host
    return [] if nameless else [_bracketed(host)]


def _bracketed(host: str) -> str:
    """As an address of IPv6 stands before a port."""
    return f"[{host}]" if ":" in host else host
