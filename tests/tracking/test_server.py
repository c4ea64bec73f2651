"""A real ``mlflow server`` that fails amid a fit: the fit ends, waits for nothing, and every point arrives once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from mlflow.utils.rest_utils import requests

from safeguards.core.ledger import read as read_ledger
from safeguards.tracking import MLflowTracker, tracker
from safeguards.tracking.spool import Entry, read
from safeguards.tracking.standing import what_waits
from safeguards.tracking.syncing import spools_below, sync
from tests.helpers.launch import launch
from tests.helpers.mlflow_server import Server
from tests.tracking import jobs
from tests.tracking.looking import directory_of

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 4
WAITED_SECONDS = 1.0
Patch = pytest.MonkeyPatch


@pytest.fixture
def served(mlflow_server: Server, here: Path, monkeypatch: Patch) -> Server:
    """Short waits: how long they are otherwise is no matter of the server's."""
    monkeypatch.setattr(tracker, "END_SECONDS", WAITED_SECONDS)
    monkeypatch.setattr(tracker, "START_SECONDS", WAITED_SECONDS)
    return mlflow_server


class Amid(pl.Callback):
    """Calls each when this many steps are done, on the training thread, and notes who asks the server meanwhile."""

    def __init__(self, monkeypatch: Patch, **at: Callable[[], object]) -> None:
        self.at, self.asked = {int(name.strip("_")): work for name, work in at.items()}, set[str]()
        self._patch, self._ask, self.trained = monkeypatch, requests.Session.request, 0

    def on_train_start(self, *_: Any) -> None:
        def noted(session: Any, *args: Any, **options: Any) -> Any:
            self.asked.add(threading.current_thread().name)
            return self._ask(session, *args, **options)

        self._patch.setattr(requests.Session, "request", noted)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.trained = trainer.global_step
        self.at.get(self.trained, int)()

    def on_train_end(self, *_: Any) -> None:
        self._patch.setattr(requests.Session, "request", self._ask)


def fit(
    server: Server,
    here: Path,
    monkeypatch: Patch,
    *,
    spool: Path | None = None,
    epochs: int = 1,
    **at: Callable[[], object],
) -> MLflowTracker:
    """A fit of four steps an epoch; what happens after the first happens to a run that has points already."""
    logger = MLflowTracker(tracking_uri=server.uri, experiment_name=here.name, spool=spool or here / "spool")
    if first := at.pop("_1", None):

        def once_it_has_points() -> None:
            assert any(logger._sender.drain(30) for _ in range(4))
            first()

        at["_1"] = once_it_has_points
    amid = Amid(monkeypatch, **at)
    job = jobs.trainer(logger, here, max_epochs=epochs)
    job.callbacks.append(amid)
    job.fit(jobs.Net())
    assert amid.trained == STEPS * epochs
    assert amid.asked <= {"safeguards-tracking"}, "the training thread waited for the server"
    return logger


def store(server: Server) -> MlflowClient:
    return MlflowClient(server.uri)


def only_run(server: Server, here: Path) -> Run:
    experiment = store(server).get_experiment_by_name(here.name)
    [run] = store(server).search_runs([experiment.experiment_id])
    return run


def points(entries: list[Entry]) -> list[tuple[Any, ...]]:
    return sorted((k, v, t, s or 0) for entry in entries for k, v, t, s in entry.data.get("points", ()))


def stored(server: Server, run: Run) -> list[tuple[Any, ...]]:
    client = store(server)
    found = [point for name in run.data.metrics for point in client.get_metric_history(run.info.run_id, name)]
    return sorted((point.key, point.value, point.timestamp, point.step) for point in found)


def everything_is_there_once(server: Server, here: Path, spool: Path) -> Run:
    run = only_run(server, here)
    logged = points(list(read(spool)))
    assert stored(server, run) == logged
    assert sorted(step for key, _, _, step in logged if key == "train_loss") == [0, 1, 2, 3]
    assert run.info.status == "FINISHED"
    assert run.data.tags["safeguards.tracking"] == "complete"
    assert run.data.params["lr"] == "0.1"
    names = [one.path for one in store(server).list_artifacts(run.info.run_id, "safeguards")]
    assert "safeguards/verdicts.jsonl" in names
    assert what_waits(directory_of(here)) is None
    return run


def some_of_it_waits(here: Path) -> bool:
    """Asked while the server is away still: as soon as it is back, the job's own thread may send what is left."""
    return "waits to be sent" in str(what_waits(directory_of(here)))


def synced(server: Server, here: Path) -> Run:
    [place] = spools_below(here / "spool")
    for _ in range(2):  # the second changes nothing
        assert sync(place).left is None
        run = everything_is_there_once(server, here, place)
    return run


def test_down_at_the_start_and_until_the_end(served: Server, here: Path, monkeypatch: Patch) -> None:
    served.kill()
    logger = fit(served, here, monkeypatch)
    assert logger.run_id is None
    assert some_of_it_waits(here)
    served.up()
    synced(served, here)


def test_it_accepts_and_never_answers(served: Server, here: Path, monkeypatch: Patch) -> None:
    served.up()
    try:
        fit(served, here, monkeypatch, _1=served.stop)
        assert some_of_it_waits(here)
    finally:
        served.go_on()
    synced(served, here)


def test_killed_amid_the_fit_and_back_before_its_end(served: Server, here: Path, monkeypatch: Patch) -> None:
    """On the same port; nobody syncs."""
    monkeypatch.setattr(tracker, "END_SECONDS", 60.0)
    served.up()
    fit(served, here, monkeypatch, _1=served.kill, _3=served.up)
    [place] = spools_below(here / "spool")
    everything_is_there_once(served, here, place)


def test_its_database_is_locked(served: Server, here: Path, monkeypatch: Patch) -> None:
    served.up()
    with contextlib.closing(sqlite3.connect(served.database, isolation_level=None)) as other:
        fit(served, here, monkeypatch, _1=lambda: other.execute("BEGIN EXCLUSIVE"))
        assert some_of_it_waits(here)
        other.execute("ROLLBACK")
    synced(served, here)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of memory over a folder. Root is stopped by no permission, but by a mount; where nobody may mount
    one, the cases without a mount show the same fault.
    """
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def in_its_place(folder: Path) -> Iterator[None]:
    """A file where the folder was: nobody can write below it."""
    shutil.move(folder, folder.with_name("moved"))
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        shutil.move(folder.with_name("moved"), folder)


def fill(folder: Path) -> None:
    """To the last byte."""
    with contextlib.suppress(OSError), (folder / "full").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    with contextlib.suppress(OSError), (folder / "fuller").open("wb", buffering=0) as file:
        while file.write(b"x"):
            pass


def onto_a_full_device(folder: Path) -> None:
    """The file below the folder that this process has open takes no more, as one on a full disk; needs no mount."""
    [file] = [one for one in Path("/proc/self/fd").iterdir() if Path(os.path.realpath(one)).is_relative_to(folder)]
    device = os.open("/dev/full", os.O_WRONLY)
    os.dup2(device, int(file.name))
    os.close(device)


@pytest.mark.parametrize("how", ["ro,size=64k", "size=64k", "a file"])
def test_its_artifacts_cannot_be_written(how: str, served: Server, here: Path, monkeypatch: Patch) -> None:
    """Read only, full, or not there: values arrive, artifacts wait, and the run says so until they are synced."""
    served.up()
    away = in_its_place(served.artifacts) if how == "a file" else mounted(served.artifacts, how)
    with away:
        if how.startswith("size"):
            fill(served.artifacts)
        monkeypatch.setattr(tracker, "END_SECONDS", 30.0)
        fit(served, here, monkeypatch)
        run = only_run(served, here)
        [place] = spools_below(here / "spool")
        assert stored(served, run) == points(list(read(place)))
        assert run.data.tags["safeguards.tracking"] == "waiting"
        assert some_of_it_waits(here)
    synced(served, here)


@pytest.mark.parametrize("how", ["a file system", "a device"])
def test_the_disk_of_the_spool_is_full(how: str, served: Server, here: Path, monkeypatch: Patch) -> None:
    """What the disk does not take goes from memory, artifacts from where they lie."""
    served.up()
    monkeypatch.setattr(tracker, "END_SECONDS", 30.0)
    spool = here / "small"
    spool.mkdir()
    logged: list[tuple[Any, ...]] = []
    put = tracker.Spool.put

    def noted(self: Any, entities: Any) -> None:
        logged.extend((*one[:3], one.step or 0) for one in entities if isinstance(one, tracker.Point))
        put(self, entities)

    monkeypatch.setattr(tracker.Spool, "put", noted)
    away = mounted(spool, "size=128k") if how == "a file system" else contextlib.nullcontext()
    with away:
        full = fill if how == "a file system" else onto_a_full_device
        fit(served, here, monkeypatch, spool=spool, epochs=10, _1=lambda: full(spool))
        [place] = spools_below(spool)
        kept = points(list(read(place)))
    run = only_run(served, here)
    assert stored(served, run) == sorted(logged) != kept, "some of it never was on disk"
    assert (run.info.status, run.data.tags["safeguards.tracking"]) == ("FINISHED", "complete")
    assert "safeguards/verdicts.jsonl" in [
        one.path for one in store(served).list_artifacts(run.info.run_id, "safeguards")
    ]


def train_and_die(uri: str, folder: str) -> None:
    """Killed in its second epoch, with a verdict of the first."""

    class Die(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == STEPS + 2:
                os.kill(os.getpid(), signal.SIGKILL)

    logger = MLflowTracker(tracking_uri=uri, experiment_name=Path(folder).name, spool=Path(folder, "spool"))
    job = jobs.trainer(logger, Path(folder), max_epochs=2)
    job.callbacks.append(Die())
    job.fit(jobs.Net())


def test_a_job_that_is_killed_is_synced_with_its_ledger(served: Server, here: Path, tmp_path: Path) -> None:
    served.up()
    [dead] = launch(f"{__file__}:train_and_die", world=1, check=False, uri=served.uri, folder=str(here))
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    [place] = spools_below(here / "spool")
    for _ in range(2):
        assert sync(place).left is None
        run = only_run(served, here)
        logged = points(list(read(place)))
        assert stored(served, run) == logged
        assert sorted(step for key, _, _, step in logged if key == "train_loss") == [0, 1, 2, 3, 4]
        assert run.info.status == "KILLED"
        assert run.data.tags["safeguards.tracking"] == "complete"
        assert run.data.tags["safeguards.verdicts"] == "1 PASS"
        held = store(served).download_artifacts(run.info.run_id, "safeguards/verdicts.jsonl", str(tmp_path))
        assert Path(held).read_bytes() == (directory_of(here) / "verdicts.jsonl").read_bytes()
        assert read_ledger(Path(held))[1] == []
