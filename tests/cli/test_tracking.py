"""A store that is there, one that is not, one that hangs and one that is something else."""

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from safeguards._cli import tracking
from safeguards._cli.tracking import problem_of
from tests.helpers.ports import held_port


@contextmanager
def server(status: int) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}", asked
        finally:
            http.shutdown()
            thread.join()


@contextmanager
def listening() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener


def test_a_server_that_answers_is_healthy() -> None:
    with server(200) as (uri, asked):
        assert problem_of(f"{uri}/mlflow/") is None
    assert asked == ["/mlflow/health"]


def test_a_server_that_asks_for_a_password_is_reachable() -> None:
    with server(401) as (uri, _):
        assert problem_of(uri) is None


def test_a_server_in_trouble_is_a_problem() -> None:
    with server(503) as (uri, _):
        assert "status 503" in str(problem_of(uri))


def test_a_closed_port_is_refused() -> None:
    with held_port() as port:
        assert "refused" in str(problem_of(f"http://127.0.0.1:{port}"))


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "SOCKET_SECONDS", 0.1)
    with listening() as listener:
        assert "timed out" in str(problem_of(f"http://127.0.0.1:{listener.getsockname()[1]}"))


def test_an_answer_letter_by_letter_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "WHOLE_SECONDS", 0.1)
    monkeypatch.setattr(tracking, "_attempt", lambda uri: threading.Event().wait())
    assert "no answer within" in str(problem_of("http://127.0.0.1"))


def test_what_is_no_http_is_said() -> None:
    with listening() as listener:

        def greet() -> None:
            with listener.accept()[0] as guest:
                guest.sendall(b"SSH-2.0-hello\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert "no address that answers" in str(problem_of(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join()


def test_a_database_server_is_knocked_at() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        assert problem_of(f"postgresql+psycopg2://ann:hunter2@127.0.0.1:{port}/runs") is None
    with held_port() as port:
        assert "refused" in str(problem_of(f"postgresql://ann:hunter2@127.0.0.1:{port}/runs"))


@pytest.mark.parametrize("uri", ["", "runs.db", "ftp://host", "http://ann:hunter2@[broken", "http://host:hunter2"])
def test_an_address_of_no_use_is_explained_without_repeating_it(uri: str) -> None:
    problem = str(problem_of(uri))
    assert "expected sqlite:///" in problem
    assert "hunter2" not in problem


def test_sqlite_may_be_new_or_there(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    assert problem_of(f"sqlite:///{file}") is None
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE runs (id INTEGER)")
    assert problem_of(f"sqlite:///{file}") is None


def test_sqlite_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.db").write_text(
        "a text, and longer than the header of a database would be, all hundred bytes" * 2
    )
    assert "is no database" in str(problem_of("sqlite:///runs.db"))


def test_sqlite_without_its_directory_is_a_problem(tmp_path: Path) -> None:
    assert "cannot be written" in str(problem_of(f"sqlite:///{tmp_path}/missing/runs.db"))
