"""The store before the first run: what is wrong is said at once, without secrets, and with the remedy."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from safeguards._cli.tracking import problem_of
from safeguards.core.errors import ConfigurationError, StoreAway
from safeguards.tracking import MLflowTracker, store
from safeguards.tracking.store import (
    alone,
    artifact_folder,
    check,
    is_refusal,
    quiet,
    reach,
    resolve,
    said,
    set_defaults,
    spool_folder,
)
from safeguards.tracking.syncing import spools_below
from tests.helpers.ports import held_port

CANARY = "c4naryV4lue"


@pytest.fixture
def closed_port() -> Iterator[int]:
    with held_port() as port:
        yield port


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("postgresql://db/runs", ("db", 5432)),
        ("mysql+pymysql://name:word@db/runs", ("db", 3306)),
        ("MSSQL+pyodbc://db/runs?driver=x", ("db", 1433)),
        ("postgresql+psycopg2://db:6543/runs", ("db", 6543)),
        ("postgresql:///runs", ("localhost", 5432)),
    ],
)
def test_each_kind_of_database_has_its_own_port(
    uri: str, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    knocked = []
    monkeypatch.setattr(socket, "create_connection", lambda at, timeout: knocked.append(at) or socket.socket())
    check(uri)
    assert problem_of(uri) is None
    assert knocked == [address, address]


def problem(uri: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        check(uri)
    assert raised.value.__context__ is None, "the chain would show the URI"
    return str(raised.value)


def test_the_default_is_a_database_in_the_working_directory_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve(None) == f"sqlite:///{tmp_path}/mlflow.db"
    assert resolve("sqlite:///a/b.db?timeout=5") == f"sqlite:///{tmp_path}/a/b.db?timeout=5"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://h:1")
    assert resolve(None) == "http://h:1"
    assert resolve("sqlite:///:memory:") == "sqlite:///:memory:"


def test_a_missing_folder_is_said_with_the_remedy(tmp_path: Path) -> None:
    text = problem(f"sqlite:///{tmp_path}/none/x.db")
    assert f"there is no folder {tmp_path}/none; create it" in text
    assert "\n" not in text


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert f"{tmp_path} is not writable" in problem(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql"])
def test_a_database_that_is_away_is_no_wrong_address(scheme: str, closed_port: int) -> None:
    with pytest.raises(StoreAway, match=r"refused; start the database") as away:
        check(f"{scheme}://me:{CANARY}@127.0.0.1:{closed_port}/db")
    assert away.value.__context__ is None
    assert not is_refusal(away.value)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_store_that_is_away_does_not_stop_the_start(
    scheme: str, closed_port: int, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MLflowTracker(tracking_uri=f"{scheme}://me:{CANARY}@127.0.0.1:{closed_port}/db")
    tracker.log_metrics({"x": 1.0}, step=0)
    assert tracker.run_id is None
    [spooled] = spools_below(here)
    assert CANARY not in (spooled / "lines.jsonl").read_text()
    [line] = [record.getMessage() for record in caplog.records if record.name.startswith("safeguards")]
    assert "tracking failed, training goes on (start: " in line
    assert CANARY not in line


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_store_that_does_not_answer_may_answer_later(
    scheme: str, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreAway, match=r"does not answer: .*; start (it|the database), or name another") as away:
        reach(f"{scheme}://me:{CANARY}@127.0.0.1:{closed_port}/db")
    assert str(away.value).count("name another") == 1
    assert CANARY not in str(away.value)
    assert away.value.__context__ is None


class Refusing(BaseHTTPRequestHandler):
    """A server that knows nobody."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"You are not authenticated")

    do_POST = do_GET

    def log_message(self, *words: object) -> None:
        pass


def test_bad_credentials_are_told_before_training(here: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            address = f"http://me:{CANARY}@127.0.0.1:{server.server_port}"
            with pytest.raises(ConfigurationError, match="failed with error code 401") as no:
                MLflowTracker(tracking_uri=address)
            with pytest.raises(ConfigurationError, match=r"cannot be used: .*401"):
                reach(address)
        finally:
            server.shutdown()
            thread.join()
    assert CANARY not in str(no.value)
    assert no.value.__context__ is None


@pytest.mark.parametrize("uri", ["foo://x", "http://[bad", "http://host:port", "runs", "file:///tmp/x"])
def test_a_wrong_address_is_told_before_training(uri: str, here: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^MLflowTracker\(tracking_uri="):
        MLflowTracker(tracking_uri=uri)


def test_a_file_that_is_no_database_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    with pytest.raises(ConfigurationError, match="file is not a database"):
        MLflowTracker(tracking_uri=f"sqlite:///{tmp_path}/x.db")


def test_spools_lie_beside_a_database_or_where_they_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert spool_folder("sqlite:////data/runs.db", None) == Path("/data/safeguards_spool")
    assert spool_folder("http://h:1", None) == tmp_path / "safeguards_spool"
    assert spool_folder("http://h:1", "kept") == tmp_path / "kept"


def test_only_the_own_errors_of_a_library_are_hushed(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger(store.TALKATIVE[0])
    other = threading.Thread(target=library.error, args=("of another thread",))
    with quiet(), quiet():
        library.error("our own")
        other.start()
        other.join()
    library.error("later")
    assert [record.getMessage() for record in caplog.records] == ["of another thread", "later"]


def test_waits_are_short_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in store.DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    set_defaults()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


def test_one_job_at_a_time_holds_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.0)
    uri = f"sqlite:///{tmp_path}/x.db"
    with alone(uri), pytest.raises(ConfigurationError, match="is another job stuck at its start"), alone(uri):
        pass
    with alone(uri):
        pass


@pytest.mark.parametrize("uri", ["http://h:1", "sqlite:///:memory:", "databricks"])
def test_stores_of_others_need_no_lock(uri: str) -> None:
    with alone(uri), alone(uri):
        pass


def test_artifacts_lie_beside_the_database_whatever_the_experiment_is_called(tmp_path: Path) -> None:
    folder = artifact_folder(f"sqlite:///{tmp_path}/x.db", "../../etc")
    assert folder is not None
    assert folder.startswith(f"{tmp_path.as_uri()}/mlruns/____etc-")
    assert artifact_folder("http://h:1", "x") is None


def test_errors_are_said_in_one_short_line_without_secrets() -> None:
    error = OSError(f"no\nhttp://me:{'x' * 500}{CANARY}@h " + "y" * 1000)
    line = said(error)
    assert line.startswith("OSError: no http://[redacted]@h yyy")
    assert "\n" not in line
    assert len(line) <= store.LONGEST_LINE
