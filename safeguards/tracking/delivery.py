"""From a spool to its run: values first, then artifacts, then how it ended. Done again, it changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.tracking.entities import Point, own_tags
from safeguards.tracking.history import Earlier
from safeguards.tracking.opening import (
    LEDGER,
    TRACKING,
    WAITING,
    Opened,
    connect,
    joined,
    open_run,
    remove_twins,
)
from safeguards.tracking.rescue import FOLDER, keep_ledger
from safeguards.tracking.sending import BATCH, Entity, deliver
from safeguards.tracking.spool import Entry, Progress, Spool, entities_of, entry_of, read
from safeguards.tracking.uploading import NoRoomError, identity, upload

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["Delivery"]

log = logging.getLogger(__name__)

SENDING_SECONDS = 60.0
"""How long one sender waits for another that is at the same spool."""
NEWS = ("values", "artifacts", "ledger", "end")


class Delivery:
    """Sends what a spool holds and the run has not. A failure is raised; the next call goes on where it happened.

    ``spool`` is the one that this process appends to, None for the spool of another. ``gone`` says that the process
    that filled it runs no more: a run that it left open was killed.
    """

    def __init__(
        self, folder: Path, job: Mapping[str, Any], uri: str, *, spool: Spool | None = None, gone: bool = False
    ) -> None:
        self.folder, self.job, self.uri = folder, job, uri
        self.progress = Progress.of(folder)
        self._spool, self._gone, self._lives = spool, gone, spool is not None
        self._seen = identity(folder) if spool is None else None
        self._connected: tuple[MlflowClient, str] | None = None
        self._opened: Opened | None = None
        self._earlier: Earlier | None = None

    def connect(self) -> tuple[MlflowClient, str]:
        """The client and the id of the experiment; the first call asks the store. Raises as `opening.connect` does."""
        if self._connected is None:
            self._connected = connect(self.uri, self.job)
        return self._connected

    def waiting(self) -> tuple[int, int]:
        """How many lines of values and how many artifacts the run lacks. Local."""
        memory = [entry.kind for entry in self._memory()]
        values = [e.kind for e in read(self.folder, self.progress.values) if e.kind != "artifacts"] + memory
        artifacts = [e.kind for e in read(self.folder, self.progress.artifacts)] + memory
        return sum(kind in NEWS for kind in values), artifacts.count("artifacts")

    def send(self) -> None:
        """Everything, one sender at a time."""
        with _alone_at(self.folder):
            self._catch_up()
            if not any(entry.kind in NEWS for entry in self._all(0)):
                return
            memory = [] if self._spool is None else self._spool.unwritten()
            self._open()
            while not self._send_values():
                pass
            self._send_artifacts()
            if self._spool is not None:
                self._spool.forget(memory)
            self._conclude()

    def _catch_up(self) -> None:
        """Another process may have sent from here meanwhile; and what is tried now is to outlive a power cut."""
        kept = Progress.of(self.folder)
        if kept.run is not None and (kept.run, kept.values) != (self.progress.run, self.progress.values):
            self.progress, self._opened = kept, None
        if self._spool is not None:
            self._spool.sync()

    def _all(self, start: int) -> Iterator[Entry]:
        yield from read(self.folder, start)
        yield from self._memory()

    def _memory(self) -> list[Entry]:
        return [] if self._spool is None else [entry_of(line, None) for line in self._spool.unwritten()]

    @property
    def _client(self) -> MlflowClient:
        return self.connect()[0]

    @property
    def _run(self) -> Opened:
        assert self._opened is not None  # noqa: S101 - opened first
        return self._opened

    def _open(self) -> None:
        if self._opened is None:
            asked = (entry.data for entry in self._all(0) if entry.kind == "ledger" and entry.data.get("join"))
            self._enter(self.progress.run, ledger=next((str(data.get("id")) for data in asked), None))

    def _enter(self, run_id: str | None, *, ledger: str | None = None) -> None:
        client, experiment = self.connect()
        job = self.job if run_id is None else {**self.job, "run": run_id}
        live = self._lives and not self._over
        self._opened = open_run(client, experiment, job, ledger=ledger, live=live, place=self.folder.parent)
        shared = self._opened.shared
        self._earlier = Earlier(client, self._opened.run_id, self._own_points) if shared else None
        self.progress.run = self._opened.run_id
        self.progress.keep(self.folder)

    @property
    def _over(self) -> bool:
        """Whether the run was told its end already, as by another process, and nothing came after it."""
        return self.progress.ended and not any(entry.kind in NEWS for entry in self._all(self.progress.values))

    def _own_points(self) -> set[tuple[int, int]]:
        """Step and moment of each point, as the store has them: a step that nobody counted is 0 there."""
        found = (one for entry in self._all(0) for one in _entities(entry))
        return {(one.step or 0, one.timestamp) for one in found if isinstance(one, Point)}

    def _last_moment(self) -> int:
        """When the job logged last, in milliseconds."""
        return max((moment for _, moment in self._own_points()), default=int(self.job["began"]))

    def _send_values(self) -> bool:
        """False when the job turned out to belong to another run, to which all is sent once more."""
        batch: list[Entity] = []
        end = self.progress.values
        for entry in self._all(self.progress.values):
            end = entry.end or end
            batch += _entities(entry)
            if entry.kind in NEWS:
                self._reopen(entry)
            if len(batch) < BATCH and entry.kind not in ("ledger", "end"):
                continue
            self._deliver(batch)
            batch = []
            if not self._obey(entry):
                return False
            self._reached(end)
        self._deliver(batch)
        self._reached(end)
        return True

    def _reopen(self, entry: Entry) -> None:
        """A job that goes on after its end, as with a test after the fit, is not complete any more."""
        if self.progress.complete and self._run.owned:
            deliver(self._client, self._run.run_id, own_tags({TRACKING: WAITING}))
        self.progress.complete, self.progress.ended = False, entry.kind == "end"

    def _deliver(self, batch: list[Entity]) -> None:
        if not self._run.owned:
            batch = [one for one in batch if isinstance(one, Point)]
        if self._earlier is not None:
            batch = [*self._earlier.settle(batch), *self._repeated(self._earlier)]
        deliver(self._client, self._run.run_id, batch)

    def _repeated(self, earlier: Earlier) -> list[Entity]:
        """A tag that says which steps were trained twice, when there are more of them."""
        steps = {*earlier.repeated, *self.progress.repeated}
        ends = [min(steps), max(steps)] if steps else []
        if ends == self.progress.repeated:
            return []
        self.progress.repeated = ends
        return [*own_tags({"safeguards.repeated": f"steps {ends[0]} to {ends[1]}"})]

    def _reached(self, end: int) -> None:
        if end != self.progress.values:
            self.progress.values = end
            self.progress.keep(self.folder)

    def _obey(self, entry: Entry) -> bool:
        """What a line says besides values. False when the ledger has a run already, and this job goes on there."""
        if entry.kind == "ledger":
            return self._belongs(str(entry.data.get("id")), join=bool(entry.data.get("join")))
        if entry.kind == "end" and self._run.owned:
            self._client.set_terminated(self._run.run_id, str(entry.data["status"]), int(entry.data["at"]))
        return True

    def _belongs(self, ledger: str, *, join: bool) -> bool:
        (client, experiment), made = self.connect(), self._run
        earlier = joined(client, experiment, ledger, made.run_id) if join and not made.shared else None
        if earlier is None:
            deliver(client, made.run_id, own_tags({LEDGER: ledger}) if made.owned else [])
            return True
        self.progress = Progress()
        self._enter(earlier)
        client.delete_run(made.run_id)
        return False

    def _send_artifacts(self) -> None:
        """Those after one that had no room arrive too; it is where the next call goes on."""
        waits: NoRoomError | None = None
        for entry in self._all(self.progress.artifacts):
            arrived = True
            if entry.kind == "artifacts":
                try:
                    arrived = self._upload(entry)
                except NoRoomError as error:
                    waits = waits or error
            if waits is None:
                self._sent(entry, arrived=arrived)
        self.progress.keep(self.folder)
        if waits is not None:
            raise waits

    def _upload(self, entry: Entry) -> bool:
        target, own = self._target(str(entry.data.get("to", ""))), self._spool is not None
        return upload(self._client, self._run.run_id, self.folder, entry.data, target, own=own, seen=self._seen)

    def _sent(self, entry: Entry, *, arrived: bool) -> None:
        self.progress.lost += not arrived
        if entry.end is not None and entry.end != self.progress.artifacts:
            self.progress.artifacts = entry.end
            if entry.kind == "artifacts":
                self.progress.keep(self.folder)

    def _target(self, to: str) -> str:
        """The folder of the run: where another job followed, one of this job's own."""
        return to if self._run.owned else "/".join(filter(None, ("earlier", str(self.job["id"]), to)))

    def _conclude(self) -> None:
        if self.progress.complete or not (self.progress.ended or self._gone):
            return
        (client, experiment), run = self.connect(), self._run
        if not self.progress.ended:
            keep_ledger(client, run.run_id, list(read(self.folder)), self._target(FOLDER), tell=run.owned)
        if run.owned:
            self._tell_the_end(client, run.run_id)
        if not run.shared:
            remove_twins(client, experiment, self.job, run.run_id)
        self.progress.complete = True
        self.progress.keep(self.folder)

    def _tell_the_end(self, client: MlflowClient, run_id: str) -> None:
        if not self.progress.ended:
            deliver(client, run_id, own_tags({"safeguards.ended": "killed"}))
            client.set_terminated(run_id, "KILLED", self._last_moment())
        lost = self.progress.lost + (0 if self._spool is None else self._spool.lost)
        state = f"degraded: {lost} lines or artifacts are lost" if lost else "complete"
        deliver(client, run_id, own_tags({TRACKING: state}))


@contextmanager
def _alone_at(folder: Path) -> Iterator[None]:
    """Where no lock can be made nobody else can send either."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=SENDING_SECONDS, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _entities(entry: Entry) -> list[Entity]:
    """The values of a line; none of a line that somebody else wrote."""
    try:
        return entities_of(entry) if entry.kind == "values" else []
    except (ValueError, TypeError, KeyError):
        return []
