from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from safeguards.core.errors import AlreadyRunning, ConfigurationError, DataRefused, EvidenceError
from safeguards.retraining import Notice, Shelf, without_webhook

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


def test_what_a_job_could_not_tell_is_logged_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    told = Notice(command=["/nowhere/mail"]).tell({"ended": "kept"}, key="k")
    why = "the command /nowhere/mail cannot be run: No such file or directory"
    assert (told, caplog.messages) == ({"failures": [why]}, [f"how it ended was not told: {why}"])


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


def test_a_training_does_not_get_the_address() -> None:
    assert without_webhook({"SAFEGUARDS_WEBHOOK": "https://hooks.example/secret", "PATH": "/bin"}) == {"PATH": "/bin"}


def fails(notice: Notice, root: Path, error: Exception | None) -> None:
    with notice.of_failure("retraining", Shelf(root=root, model="risk")):
        if error is not None:
            raise error


def test_a_failure_is_told_in_one_line_without_secrets_and_goes_on(server: str, tmp_path: Path) -> None:
    error = RuntimeError(f"first\nsqlite://me:{CANARY}@host/db <Connection object at 0x7f00>")
    with pytest.raises(RuntimeError) as caught:
        fails(Notice(webhook=f"{server}/200"), tmp_path, error)
    assert caught.value is error
    ((_, _, body),) = Hook.seen
    assert {name: body[name] for name in ("model", "what", "ended")} == {
        "model": "risk",
        "what": "retraining",
        "ended": "broke",
    }
    assert str(body["why"]).startswith("RuntimeError: first sqlite://")
    assert CANARY not in json.dumps(body)


def test_the_same_failure_is_told_once_a_day_until_all_ends_well(server: str, tmp_path: Path) -> None:
    notice, memory = Notice(webhook=f"{server}/200"), tmp_path / "risk" / "retraining.failed"

    def told(*errors: Exception | None) -> int:
        before = len(Hook.seen)
        for error in errors:
            with suppress(EvidenceError, DataRefused):
                fails(notice, tmp_path, error)
        return len(Hook.seen) - before

    away, refused = EvidenceError("<object at 0x1f> is away"), DataRefused("half-written")
    assert told(away, away, EvidenceError("<object at 0x2f> is away")) == 1
    assert told(refused, refused, away) == 2
    assert [body["ended"] for *_, body in Hook.seen] == ["broke", "data refused", "broke"]
    for age, again in ((80_000, 0), (90_000, 1), (-90_000, 1)):  # the last as a clock leaves it that was ahead
        os.utime(memory, (time.time() - age,) * 2)
        assert told(away) == again
    assert told(None, away) == 1


def test_what_was_not_told_is_told_by_the_next_call(server: str, tmp_path: Path) -> None:
    for status, tells in ((500, 1), (200, 1), (200, 0)):
        before = len(Hook.seen)
        with pytest.raises(EvidenceError):
            fails(Notice(webhook=f"{server}/{status}"), tmp_path, EvidenceError("away"))
        assert len(Hook.seen) - before == tells
    with pytest.raises(EvidenceError):
        fails(Notice(), tmp_path / "nobody", EvidenceError("away"))
    assert not (tmp_path / "nobody").exists()  # who asks to be told later is told


def test_a_notice_that_breaks_hides_no_error(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EvidenceError, match="away"):
        fails(Notice(webhook=f"{server}/200"), tmp_path / "file", EvidenceError("away"))
    with pytest.raises(EvidenceError, match="away"):
        fails(Notice(command=["/nowhere/mail"]), tmp_path, EvidenceError("away"))
    assert "the command /nowhere/mail cannot be run" in caplog.text
    monkeypatch.setattr(Notice, "send", lambda *_, **__: 1 / 0)
    with pytest.raises(EvidenceError, match="away"):
        fails(Notice(webhook=f"{server}/200"), tmp_path, EvidenceError("away"))


def test_who_finds_another_at_work_tells_nobody(server: str, tmp_path: Path) -> None:
    with pytest.raises(AlreadyRunning):
        fails(Notice(webhook=f"{server}/200"), tmp_path, AlreadyRunning("another is at work"))
    assert Hook.seen == []
