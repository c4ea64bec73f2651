from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from safeguards.core.errors import ConfigurationError, DataRefused, EvidenceError
from safeguards.retraining import Notice, without_webhook

CANARY = "hunter2canary99"
MESSAGE = {"model": "risk", "why": f"sqlite://me:{CANARY}@host/db is down", "token": CANARY, "text": "<script>"}


class Hook(BaseHTTPRequestHandler):
    """Answers as its path says: /307 with that status and a redirect to /200, /drip never to an end."""

    seen: ClassVar[list[tuple[str, dict[str, str], dict[str, object]]]] = []
    done = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, dict(self.headers), json.loads(body)))
        if self.path == "/drip":
            self.done.wait(20)
            return
        self.send_response(int(self.path[1:4]))
        self.send_header("Location", "/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as served:
        served.daemon_threads = True
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        Hook.done.set()
        served.shutdown()


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    Hook.seen.clear()
    monkeypatch.delenv("SAFEGUARDS_WEBHOOK", raising=False)


def test_a_hook_gets_the_message_once_without_secrets(server: str) -> None:
    assert Notice(webhook=f"{server}/200").send(MESSAGE, key="k1") == []
    ((path, headers, body),) = Hook.seen
    assert (path, headers["Idempotency-Key"], body["job"], body["model"]) == ("/200", "k1", "k1", "risk")
    assert CANARY not in json.dumps(body)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server: str, status: int) -> None:
    assert Notice(webhook=f"{server}/{status}").send(MESSAGE, key="k") == [
        f"the web hook answered with status {status}"
    ]
    assert [path for path, *_ in Hook.seen] == [f"/{status}"]


def test_a_hook_that_refuses_is_told(server: str) -> None:
    assert Notice(webhook=f"{server}/500").send(MESSAGE, key="k") == ["the web hook answered with status 500"]


def test_a_hook_that_never_answers_costs_its_time_and_no_more(server: str) -> None:
    assert Notice(webhook=f"{server}/drip", seconds=0.3).send(MESSAGE, key="k") == [
        "the web hook gave no answer within 0.3 seconds"
    ]


def test_a_secret_address_is_in_the_environment_and_in_no_text(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:1/{CANARY}"
    monkeypatch.setenv("SAFEGUARDS_WEBHOOK", address)
    (why,) = Notice().send({"address": address}, key="k")
    assert why == "the web hook cannot be reached (Connection refused)"
    monkeypatch.setenv("SAFEGUARDS_WEBHOOK", f"ftp://{CANARY}")
    (why,) = Notice().send({}, key="k")
    assert CANARY not in why
    monkeypatch.setenv("SAFEGUARDS_WEBHOOK", f"{server}/200")
    assert Notice().send({"address": f"{server}/200"}, key="k") == []
    assert server not in json.dumps(Hook.seen[0][2])


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://host/", "https:///path", "http://[", "//host", "me@host"]
)
def test_only_http_is_an_address(address: str) -> None:
    with pytest.raises(ConfigurationError, match="http:// or https://") as caught:
        Notice(webhook=address)
    assert address not in str(caught.value)


SAVE = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"


def test_a_command_reads_the_message_and_no_shell_reads_the_command(tmp_path) -> None:
    file = tmp_path / "$(touch planted) told"
    assert Notice(command=[sys.executable, "-c", SAVE, str(file)]).send(MESSAGE, key="k") == []
    assert json.loads(file.read_text())["text"] == "<script>"
    assert CANARY not in file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_command_that_fails_is_told_in_one_line_without_secrets() -> None:
    code = f"import sys; sys.exit('first\\nhttps://u:{CANARY}@host')"
    (why,) = Notice(command=[sys.executable, "-c", code]).send({}, key="k")
    assert "ended with 1: first https://" in why
    assert CANARY not in why
    (why,) = Notice(command=[sys.executable, "-c", "import time; time.sleep(9)"], seconds=0.5).send({}, key="k")
    assert why.endswith("took longer than 0.5 seconds and was ended")
    (why,) = Notice(command=["/nowhere/mail"]).send({}, key="k")
    assert why == "the command /nowhere/mail cannot be run: No such file or directory"


@pytest.mark.parametrize("wrong", [{"command": "mail me"}, {"command": []}, {"seconds": 0}])
def test_what_makes_no_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Notice(**wrong)


def test_without_an_address_nobody_is_told() -> None:
    assert Notice().send(MESSAGE, key="k") == []


def test_a_configured_address_is_in_no_message(tmp_path: Path) -> None:
    """It may hold a token of its own, and a command may print what it reads."""
    address = "http://127.0.0.1:1/hooks/k3-token"
    words = [sys.executable, "-c", f"open({str(tmp_path / 'told')!r}, 'w').write(input())"]
    notice = Notice(command=words, webhook=address, seconds=20.0)
    (failure,) = notice.send({"why": f"posted to {address}"}, key="1")
    assert "posted to" in (tmp_path / "told").read_text()
    assert "k3-token" not in (tmp_path / "told").read_text() + failure


def test_data_that_are_refused_are_told_and_stay_refused(tmp_path: Path) -> None:
    notice = Notice(command=[sys.executable, "-c", f"open({str(tmp_path / 'told')!r}, 'w').write(input())"])
    with pytest.raises(EvidenceError), notice.of_refused("risk"):
        raise EvidenceError("another fault")
    assert not (tmp_path / "told").exists()
    with pytest.raises(DataRefused, match="half a file"), notice.of_refused("risk"):
        raise DataRefused("half a file")
    told = json.loads((tmp_path / "told").read_text())
    assert told == {"model": "risk", "ended": "data refused", "why": "half a file", "job": "refused"}


def test_a_training_does_not_get_the_address() -> None:
    assert without_webhook({"SAFEGUARDS_WEBHOOK": "https://hooks.example/secret", "PATH": "/bin"}) == {"PATH": "/bin"}
