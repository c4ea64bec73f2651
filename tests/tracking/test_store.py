"""The store before the first run: what is wrong is said at once, without secrets, and with the remedy."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguards._cli.tracking import problem_of
from safeguards.core.errors import ConfigurationError
from safeguards.tracking import MLflowTracker, store
from safeguards.tracking.store import alone, artifact_folder, check, environment, resolve, said, set_defaults

CANARY = "c4naryV4lue"


class SilentServer:
    """Accepts, counts, and hangs up without an answer."""

    def __init__(self) -> None:
        self.attempts = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.attempts += 1
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def server() -> Iterator[SilentServer]:
    made = SilentServer()
    yield made
    made.close()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


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


def test_a_server_that_is_down_is_said_after_two_attempts(server: SilentServer) -> None:
    text = problem(f"http://me:{CANARY}@127.0.0.1:{server.port}")
    assert 1 <= server.attempts <= 2
    assert CANARY not in text
    assert f"http://[redacted]@127.0.0.1:{server.port}" in text
    assert "start the server" in text


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql+pymysql"])
def test_a_closed_port_stops_the_tracker_before_training(scheme: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"MLflowTracker\(tracking_uri='\S+\[redacted\]@127.0.0.1.*refused"
    ) as no:
        MLflowTracker(tracking_uri=f"{scheme}://me:{CANARY}@127.0.0.1:{closed_port()}/db")
    assert CANARY not in str(no.value)
    assert no.value.__context__ is None


def test_waits_are_short_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in store.DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    set_defaults()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"


def test_the_environment_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1")
    monkeypatch.delenv("TWO", raising=False)
    with environment({"ONE": "x", "TWO": "y"}):
        assert (os.environ["ONE"], os.environ["TWO"]) == ("x", "y")
    assert (os.environ["ONE"], os.environ.get("TWO")) == ("1", None)


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
