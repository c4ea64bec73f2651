"""Where a study lives: in memory, in a file, or in a database."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.errors import ConfigurationError
from safeguards.core.ranks import describe
from safeguards.search.attempts import GRACE_SECONDS, Retry
from safeguards.search.patience import patient

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

__all__ = ["STORAGE", "address_of", "open_storage"]

STORAGE = "SAFEGUARDS_SEARCH_STORAGE"
"""The variable for an address that holds a password."""

MEMORY, FILE = "memory", "sqlite:///search.db"
HEARTBEAT_SECONDS = 30
SQLITE_WAIT_SECONDS = 60
MAKING_TRIES, MAKING_PAUSE_SECONDS = 25, 0.2
JOURNAL = "journal:"


def address_of(written: str | None) -> str | None:
    """The storage that a configuration writes, else that of the variable `STORAGE`, else a file; None for memory."""
    address = written or os.environ.get(STORAGE) or FILE
    return None if address == MEMORY else address


def open_storage(address: str | None, retry: Retry) -> BaseStorage:
    """In memory for None, a file for ``journal:PATH``, else a database by its SQLAlchemy address, with a heartbeat.

    Raises `ConfigurationError` in one line without secrets when it cannot be opened.
    """
    import optuna

    if address is None:
        return optuna.storages.InMemoryStorage()
    try:
        if address.startswith(JOURNAL):
            from optuna.storages.journal import JournalFileBackend

            path = Path(address.removeprefix(JOURNAL))
            path.parent.mkdir(parents=True, exist_ok=True)
            return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        return patient(optuna.storages.get_storage(_database(address, retry)))
    except Exception as error:
        raise ConfigurationError(f"cannot open the study's storage: {describe(error)}") from None


def _database(address: str, retry: Retry) -> RDBStorage:
    """Searches that begin at once on a new database all make its tables; all but one hear that they are there."""
    import optuna
    from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

    waits = {"connect_args": {"timeout": SQLITE_WAIT_SECONDS}} if address.startswith("sqlite") else {}
    tried = 0
    while True:
        try:
            return optuna.storages.RDBStorage(
                address,
                engine_kwargs={"pool_pre_ping": True, **waits},
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=retry,
            )
        except DBAPIError as error:
            there = isinstance(error, (IntegrityError, ProgrammingError)) or "already exists" in str(error)
            tried += 1
            if not there or tried == MAKING_TRIES:
                raise
            time.sleep(MAKING_PAUSE_SECONDS)
