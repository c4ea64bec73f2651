"""The tracking store before the first run: which one, is it there, does it have its tables."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from safeguards.core.errors import ConfigurationError, StoreAway
from safeguards.core.redact import known_secrets, redact
from safeguards.tracking.names import cut, key

__all__ = [
    "DEFAULT_URI",
    "PORTS",
    "alone",
    "artifact_folder",
    "check",
    "database_file",
    "is_refusal",
    "kind_of",
    "knock",
    "locked",
    "quiet",
    "reach",
    "resolve",
    "said",
    "set_defaults",
    "spool_folder",
]

DEFAULT_URI = "sqlite:///mlflow.db"
# MLflow's own defaults try a server that is gone for eight minutes. What fails is tried again by who sends it.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
# The store is there and says no, and will say no again. Anything else may pass.
REFUSALS = frozenset(
    {
        "BAD_REQUEST",
        "CUSTOMER_UNAUTHORIZED",
        "ENDPOINT_NOT_FOUND",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "PERMISSION_DENIED",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
        "UNAUTHENTICATED",
    }
)
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
CONNECT_SECONDS = 5.0
# Creating the tables takes about 6 s; many jobs may be waiting for the same file.
LOCK_SECONDS = 120.0
SPOOLS = "safeguards_spool"
LONGEST_LINE = 400
# These tell an error with a traceback, or once per attempt, before they raise it.
TALKATIVE = ("mlflow.store.db.utils", "urllib3.connectionpool")


def set_defaults() -> None:
    """Short waits, unless the environment says otherwise."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def resolve(uri: str | None) -> str:
    """``uri``, else ``MLFLOW_TRACKING_URI``, else a database in the working directory, which may change later: the path
    of an SQLite file is made absolute.
    """
    named = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    database = database_file(named)
    if database is None:
        return named
    _, mark, query = named.partition("?")
    return f"{named.partition(':///')[0]}:///{database}{mark}{query}"


def said(thing: object) -> str:
    """A URI or an error in one line, without secrets, those of the environment included; cut only after that."""
    line = " ".join(str(thing).split())
    line = f"{type(thing).__name__}: {line}" if isinstance(thing, BaseException) else line
    return cut(redact(line, known_secrets(os.environ)), LONGEST_LINE)


def kind_of(uri: str) -> str:
    """The scheme of an address without its driver, as in ``postgresql+psycopg2://``."""
    return uri.partition(":")[0].partition("+")[0].lower()


def knock(uri: str, *, seconds: float) -> None:
    """Connect to a database and leave, at the port of its kind unless the address names one.

    Raises ``OSError`` where nobody listens and ``ValueError`` for what is no address.
    """
    parts = urlsplit(uri)
    address = parts.hostname or "localhost", parts.port or PORTS[kind_of(uri)]
    socket.create_connection(address, timeout=seconds).close()


def check(uri: str) -> None:
    """Look whether the store can be there, in seconds and without secrets, before MLflow is asked.

    Raises `ConfigurationError` for a store that cannot be used as it is named, and `StoreAway` for a database that
    does not answer.
    """
    kind = kind_of(uri)
    if kind == "sqlite":
        _check_file(uri)
    elif kind in PORTS:
        _check_port(uri)


def reach(uri: str) -> None:
    """Raise `StoreAway` where the store does not answer, `ConfigurationError` where it never will as it is named."""
    try:
        check(uri)
        if kind_of(uri) in ("http", "https"):
            from mlflow.tracking import MlflowClient

            with quiet():
                MlflowClient(uri).search_experiments(max_results=1)
        return
    except (ConfigurationError, StoreAway):
        raise
    except Exception as error:
        cause, refused = said(error), is_refusal(error)
    if refused:
        raise ConfigurationError(f"{said(uri)!r} cannot be used: {cause}; mend it, or name another tracking_uri")
    raise StoreAway(f"{said(uri)!r} does not answer: {cause}; start it, or name another tracking_uri")


def is_refusal(error: Exception) -> bool:
    """Whether the store is there and will never take this job as it is configured."""
    named_wrongly = isinstance(error, ValueError) or type(error).__name__ == "InvalidUrlException"
    no_database = "file is not a database" in str(error)
    return named_wrongly or no_database or getattr(error, "error_code", None) in REFUSALS


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Hold the lock of a database while its tables and experiments are made: MLflow takes none, and jobs that start
    together on an empty database crash each other.
    """
    place = _lock_file(uri)
    if place is None:
        yield
        return
    with locked(place, LOCK_SECONDS):
        yield


@contextmanager
def locked(place: Path, seconds: float) -> Iterator[None]:
    """Hold a lock file. Raises `ConfigurationError` when it cannot be had within ``seconds``."""
    from filelock import FileLock, Timeout

    lock = FileLock(place, timeout=seconds, mode=0o600)
    try:
        lock.acquire()
    except (Timeout, OSError) as error:
        raise ConfigurationError(f"cannot lock {place}: {said(error)}; is another job stuck at its start?") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def quiet() -> Iterator[None]:
    """Errors of the store are raised and said by us in one line, hence not also logged by its libraries.

    What other threads do with these libraries is still heard.
    """
    own = threading.get_ident()

    def is_of_another_thread(record: logging.LogRecord) -> bool:
        return record.thread != own

    loggers = [logging.getLogger(name) for name in TALKATIVE]
    for logger in loggers:
        logger.addFilter(is_of_another_thread)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_of_another_thread)


def artifact_folder(uri: str, experiment: str) -> str | None:
    """Beside an SQLite file; any other store has a place of its own."""
    database = database_file(uri)
    if database is None:
        return None
    return (database.parent / "mlruns" / key(experiment).replace("/", "_")).as_uri()


def spool_folder(uri: str, named: str | Path | None) -> Path:
    """Where jobs of this store keep what is not sent: as named, else beside an SQLite file or in the working directory.

    It stays there when the working directory changes.
    """
    database = database_file(uri)
    place = Path(named) if named is not None else (Path() if database is None else database.parent) / SPOOLS
    return place.absolute()


def database_file(uri: str) -> Path | None:
    """The absolute file of an SQLite URI; None for a database in memory and for any other URI."""
    path = uri.partition(":///")[2].partition("?")[0]
    if kind_of(uri) != "sqlite" or path in ("", ":memory:"):
        return None
    return Path(path).absolute()


def _lock_file(uri: str) -> Path | None:
    database = database_file(uri)
    if database is not None:
        return database.with_name(f".{database.name}.lock")
    if kind_of(uri) not in PORTS:
        return None
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"safeguards-{os.getuid() if hasattr(os, 'getuid') else 0}-{digest}.lock")


def _check_file(uri: str) -> None:
    database = database_file(uri)
    if database is None:
        return
    if not database.parent.is_dir():
        _refuse(f"there is no folder {database.parent}", "create it, or name another tracking_uri")
    target = database if database.exists() else database.parent
    if not os.access(target, os.W_OK):
        _refuse(f"{target} is not writable", "change its permissions, or name another tracking_uri")


def _check_port(uri: str) -> None:
    try:
        knock(uri, seconds=CONNECT_SECONDS)
        return
    except (OSError, ValueError) as error:
        cause = said(error)
    raise StoreAway(f"{said(uri)!r} does not answer: {cause}; start the database, or name another tracking_uri")


def _refuse(cause: str, remedy: str) -> None:
    raise ConfigurationError(f"{cause}; {remedy}")
