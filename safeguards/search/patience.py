"""A database that is away for a while: what a study asks of it waits and is asked again."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["OUTAGE_SECONDS", "patient"]

OUTAGE_SECONDS = 240.0
PAUSE_SECONDS = 1.0
OWN = ("record_heartbeat", "_get_stale_trial_ids")


def patient(storage: BaseStorage) -> BaseStorage:
    """The storage itself, each of whose operations is tried for four minutes before its error is raised.

    A change that reached the database although its answer was lost is made again: all but one are the same twice. A
    trial created twice is an attempt that nobody trains, which a search takes up as it does any other.
    """
    from optuna import storages

    names = [name for name in vars(storages.BaseStorage) if name.startswith(("get_", "set_", "create_", "delete_"))]
    for name in [*names, *OWN]:
        setattr(storage, name, _again(getattr(storage, name)))
    return storage


def _again(operation: Callable[..., Any]) -> Callable[..., Any]:
    from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
    from sqlalchemy.exc import InterfaceError, OperationalError

    @functools.wraps(operation)
    def tried(*args: Any, **named: Any) -> Any:
        began, failed = time.monotonic(), False
        while True:
            try:
                return operation(*args, **named)
            except UpdateFinishedTrialError:
                if not failed:
                    raise
                return True  # it was this very change whose answer was lost
            except (StorageInternalError, OperationalError, InterfaceError):
                failed = True
                if time.monotonic() - began > OUTAGE_SECONDS:
                    raise
                time.sleep(PAUSE_SECONDS)

    return tried
