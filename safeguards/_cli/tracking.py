"""Whether MLflow's store can be reached, found out within seconds and without importing MLflow."""

from __future__ import annotations

import http.client
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from safeguards.tracking.store import PORTS, kind_of, knock

__all__ = ["problem_of"]

SOCKET_SECONDS = 3.0
WHOLE_SECONDS = 5.0
"""A name server or a server that sends its answer letter by letter knows no socket timeout."""


def problem_of(uri: str) -> str | None:
    """None when the store answers, else one sentence with the remedy, free of the address itself."""
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_attempt(uri)), daemon=True).start()
    try:
        return answers.get(timeout=WHOLE_SECONDS)
    except queue.Empty:
        return f"no answer within {WHOLE_SECONDS:.0f} s; start the server or set MLFLOW_TRACKING_URI"


def _attempt(uri: str) -> str | None:
    """An error's own text could repeat a secret of the address; its system error or its kind cannot."""
    try:
        parts = urlsplit(uri)
        return _probe(parts)(parts)
    except OSError as error:
        why = "timed out" if isinstance(error, TimeoutError) else error.strerror or type(error).__name__
        return f"cannot be reached ({why.lower()}); start the server or set MLFLOW_TRACKING_URI"
    except (ValueError, http.client.HTTPException) as error:
        return f"is no address that answers ({type(error).__name__}); expected sqlite:///file.db or http://host:port"


def _probe(parts: SplitResult) -> Callable[[SplitResult], str | None]:
    kind = kind_of(parts.geturl())
    if kind in ("http", "https"):
        return _ask_server
    if kind == "sqlite":
        return _open_file
    if kind in PORTS:
        return _knock
    raise ValueError(kind)


def _ask_server(parts: SplitResult) -> str | None:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SOCKET_SECONDS)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health")
        status = connection.getresponse().status
    finally:
        connection.close()
    return None if status < http.HTTPStatus.INTERNAL_SERVER_ERROR else f"answers with status {status}; see its log"


def _knock(parts: SplitResult) -> str | None:
    knock(parts.geturl(), seconds=SOCKET_SECONDS)
    return None


def _open_file(parts: SplitResult) -> str | None:
    """``sqlite:///runs.db`` is relative to the working directory, ``sqlite:////data/runs.db`` is not."""
    file = Path(parts.path.removeprefix("/"))
    if not os.access(file if file.exists() else file.resolve().parent, os.W_OK):
        return "cannot be written; make its directory or name another file"
    if not file.exists():
        return None
    try:
        with sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=SOCKET_SECONDS) as database:
            database.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        return f"is no database to read ({type(error).__name__}); name another file"
    return None
