"""Points, parameters and tags on their way to the store: sent at once, or kept while the store is away."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from safeguards.tracking.names import LONGEST_TAG, cut, key
from safeguards.tracking.store import quiet, said

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["Outbox", "deliver"]

log = logging.getLogger(__name__)

# A store that is away costs at most a tenth of the time that passes, and is asked at most twice a minute.
REST_SECONDS = 30.0
REST_RATIO = 10.0
# About 50 MB; the ledger on disk has every verdict anyway.
CAPACITY = 100_000


class Outbox:
    """Sends to one run, in order. MLflow keeps a point that arrives twice once, so that a torn sending is repeated."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.waiting: deque[Any] = deque(maxlen=CAPACITY)
        self.lost = 0
        self._clock = clock
        self._rests_until = 0.0
        self._complained = False

    @property
    def missing(self) -> int:
        """How many entities the store does not have."""
        return len(self.waiting) + self.lost

    def put(self, *entities: Any) -> None:
        """Add metrics, parameters or tags of `mlflow.entities`; beyond ``CAPACITY`` the oldest are lost and counted."""
        self.lost += max(0, len(self.waiting) + len(entities) - CAPACITY)
        self.waiting.extend(entities)

    def send(self, client: MlflowClient, run_id: str, *, insist: bool = False) -> bool:
        """Send what waits; False when the store did not take it."""
        return self.attempt("metrics", lambda: self._send_all(client, run_id), insist=insist)

    def attempt(self, what: str, work: Callable[[], object], *, insist: bool = False) -> bool:
        """Do a piece of work with the store; False, and one line in the log per outage, when it failed.

        A store that failed is left alone for a while, unless ``insist``.
        """
        if self._clock() < self._rests_until and not insist:
            return False
        start = self._clock()
        try:
            with quiet():
                work()
        except Exception as error:
            self._rests_until = self._clock() + max(REST_SECONDS, REST_RATIO * (self._clock() - start))
            self._complain(f"tracking failed, training goes on ({what}: {said(error)})")
            return False
        self._rests_until, self._complained = 0.0, False
        return True

    def _complain(self, line: str) -> None:
        if not self._complained:
            log.warning(line)
        self._complained = True

    def _send_all(self, client: MlflowClient, run_id: str) -> None:
        batch = list(self.waiting)
        deliver(client, run_id, batch)
        for _ in batch:
            self.waiting.popleft()


def deliver(client: MlflowClient, run_id: str, batch: Sequence[Any]) -> None:
    """Send metrics, parameters and tags now.

    What the store refuses for what it is, rather than being away, is found by halves and left out.
    """
    if not batch:
        return
    try:
        _log(client, run_id, batch)
    except Exception as error:
        if getattr(error, "error_code", None) != "INVALID_PARAMETER_VALUE":
            raise
        if len(batch) == 1:
            log.warning("the tracking store refused %s: %s", said(batch[0].key), said(error))
            return
        middle = len(batch) // 2
        deliver(client, run_id, batch[:middle])
        deliver(client, run_id, batch[middle:])


def _log(client: MlflowClient, run_id: str, batch: Sequence[Any]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    params, changed = _settled(client, run_id, [item for item in batch if isinstance(item, Param)])
    client.log_batch(
        run_id,
        metrics=[item for item in batch if isinstance(item, Metric)],
        params=params,
        tags=[*changed, *(item for item in batch if isinstance(item, RunTag))],
        synchronous=True,
    )


def _settled(client: MlflowClient, run_id: str, params: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Parameters that the run has not yet, and tags for those that it has with another value: MLflow refuses them."""
    from mlflow.entities import RunTag

    if not params:
        return [], []
    stored = client.get_run(run_id).data.params
    wanted = {param.key: param for param in params}
    fresh = [param for name, param in wanted.items() if name not in stored]
    changed = {name: param.value for name, param in wanted.items() if stored.get(name, param.value) != param.value}
    return fresh, [RunTag(key(f"safeguards.changed.{n}"), cut(value, LONGEST_TAG)) for n, value in changed.items()]
