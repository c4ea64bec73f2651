"""The server itself, and the command that starts it."""

from __future__ import annotations

import re
import socket
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

import pytest

from safeguards.card import server as module
from safeguards.card.server import review_address, review_server, serve_review
from safeguards.cli import main
from safeguards.core.errors import ConfigurationError
from tests.card.conftest import Store


def answer(environment: Any, start: Any) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [environment["REQUEST_METHOD"].encode()]


def has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as tried:
        tried.bind(("::1", 0))
        return True
    return False


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("127.0.0.1", "127.0.0.1"),
        pytest.param("::1", "[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")),
    ],
)
def test_it_answers_on_loopback(host: str, named: str) -> None:
    with review_server(answer, host=host, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with urllib.request.urlopen(f"http://{named}:{server.server_port}/") as got:
                assert got.read() == b"GET"
            with pytest.raises(ConfigurationError, match=rf"cannot listen on {re.escape(named)}:\d+: .*name another"):
                review_server(answer, host=host, port=server.server_port)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99999), ("256.0.0.1", 0), ("::x", 0), ("[::x]", 0)])
def test_an_address_that_is_none_is_said(host: str, port: int) -> None:
    with pytest.raises(ConfigurationError, match="name another --host or --port") as told:
        review_server(answer, host=host, port=port)
    assert "[[" not in str(told.value)


def interrupted(self: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_it_says_where_it_is_and_who_can_read(
    host: str, warned: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module._Server, "serve_forever", interrupted)
    said: list[str] = []
    serve_review(store.uri, host=host, port=0, say=said.append)
    assert said[0].startswith(f"review: http://{host}:")
    assert any("asks for no password" in line for line in said) is warned
    assert said[-1] == "ended"


def test_an_address_of_all_interfaces_is_the_name_of_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(module._Server, "serve_forever", interrupted)
    monkeypatch.setattr(module._Server, "set_app", lambda self, app: made.append(app))
    serve_review(store.uri, host="0.0.0.0", port=0, hosts=["review.example"], say=lambda _: None)
    pages = made[0].test_client()
    assert pages.get("/", headers={"Host": "0.0.0.0"}).status_code == 403
    assert pages.get("/", headers={"Host": "review.example"}).status_code == 200


def test_an_address_of_ipv6_is_a_name_in_brackets(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made, said, _bound = _unbound(monkeypatch)
    serve_review(store.uri, host="fd00::7", port=5080, say=said.append)
    assert said[0].startswith(f"review: {review_address('fd00::7', 5080)}/ ")
    assert review_address("fd00::7", 5080) == "http://[fd00::7]:5080"
    pages = made[0].test_client()
    assert pages.get("/", headers={"Host": "[fd00::7]:5080"}).status_code == 200
    assert pages.get("/", headers={"Host": "[fd00::8]:5080"}).status_code == 403


@pytest.mark.parametrize("host", ["fd00:0:0::7", "[fd00::7]", "FD00::0007"])
def test_an_address_of_ipv6_has_one_name_however_it_is_written(
    host: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, said, bound = _unbound(monkeypatch)
    serve_review(store.uri, host=host, port=5080, say=said.append)
    assert bound == [("fd00::7", 5080)]
    assert said[0].startswith("review: http://[fd00::7]:5080/ ")
    assert made[0].test_client().get("/", headers={"Host": "[fd00::7]:5080"}).status_code == 200
    assert review_address(host, 5080) == "http://[fd00::7]:5080"


@pytest.mark.parametrize(("host", "warned"), [("[::1]", False), ("0:0::1", False), ("127.0.0.2", False), ("::0", True)])
def test_who_can_read_is_said_by_what_the_address_is(
    host: str, warned: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made, said, _bound = _unbound(monkeypatch)
    serve_review(store.uri, host=host, port=5080, say=said.append)
    assert any("asks for no password" in line for line in said) is warned


@pytest.mark.parametrize("host", ["::0", "0::", "[::]"])
def test_all_interfaces_of_ipv6_are_the_name_of_none(host: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made, said, _bound = _unbound(monkeypatch)
    serve_review(store.uri, host=host, port=5080, say=said.append)
    pages = made[0].test_client()
    assert [pages.get("/", headers={"Host": f"[{name}]"}).status_code for name in ("::", "::0")] == [403, 403]


def _unbound(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[str], list[Any]]:
    """The applications that are served, what is said, and the addresses that would be bound."""
    made: list[Any] = []
    bound: list[Any] = []

    def bind(server: Any) -> None:
        bound.append(server.server_address)
        server.server_port = server.server_address[1]

    monkeypatch.setattr(module._Server, "server_bind", bind)
    monkeypatch.setattr(module._Server, "server_activate", lambda self: None)
    monkeypatch.setattr(module._Server, "serve_forever", interrupted)
    monkeypatch.setattr(module._Server, "set_app", lambda self, app: made.append(app))
    return made, [], bound


def test_the_command(store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module._Server, "serve_forever", interrupted)
    assert main(["review", "--tracking-uri", store.uri, "--port", "0"]) == 0
    assert "review: http://127.0.0.1:" in capsys.readouterr().out
    assert main(["review", "--quiet", "--tracking-uri", store.uri, "--port", "0"]) == 0
    assert capsys.readouterr().out == ""


def test_a_store_that_is_not_there_ends_with_2(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "--tracking-uri", f"sqlite:///{tmp_path}/none.db"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("safeguards review: ")
    assert "there is no file" in told
    assert list(tmp_path.iterdir()) == []
