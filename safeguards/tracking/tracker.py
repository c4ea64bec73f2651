"""Lightning's MLflow logger that training survives: what it is told is frozen on disk, and a thread sends it."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning_utilities.core.rank_zero import rank_zero_only

from safeguards.core.compat import installed_namespaces, loaded_namespaces
from safeguards.core.errors import ConfigurationError
from safeguards.core.names import encode
from safeguards.core.process import was_told_to_end
from safeguards.core.redact import known_secrets, redact, redact_tree
from safeguards.tracking.artifacts import stage
from safeguards.tracking.context import VERSIONS, versions
from safeguards.tracking.delivery import Delivery
from safeguards.tracking.entities import Parameter, Point, Tag, own_tags, parameters, points, run_tags
from safeguards.tracking.outcomes import tags_of
from safeguards.tracking.sender import Sender
from safeguards.tracking.spool import Spool
from safeguards.tracking.standing import mark
from safeguards.tracking.store import artifact_folder, is_refusal, resolve, said, set_defaults, spool_folder

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import rank_zero_experiment
    from mlflow.tracking import MlflowClient
    from pytorch_lightning.loggers import MLFlowLogger

    from safeguards.core.ending import Summary
    from safeguards.core.verdict import Verdict

__all__ = ["MLflowTracker"]

log = logging.getLogger(__name__)

START_SECONDS = 10.0
"""How long training waits for the store's first answer."""
END_SECONDS = 10.0
"""How long the end of a fit waits for what has not been sent."""


def _base() -> tuple[type, Callable[..., Any]]:
    """Lightning's logger of a loaded namespace; it is one of both when both are loaded, as each command line asks."""
    first, *others = loaded_namespaces() or installed_namespaces()[:1]
    logger = importlib.import_module(f"{first}.loggers").MLFlowLogger
    kinds = [importlib.import_module(f"{name}.loggers.logger") for name in (first, *others)]
    bases = (logger, *(kind.Logger for kind in kinds[1:]))
    return type(logger)("MLFlowLogger", bases, {"__module__": __name__}), kinds[0].rank_zero_experiment


if not TYPE_CHECKING:
    MLFlowLogger, rank_zero_experiment = _base()


class MLflowTracker(MLFlowLogger):
    """One MLflow run per job, with the verdicts of its safeguards: ``Trainer(logger=MLflowTracker())``.

    ``tracking_uri`` is ``MLFLOW_TRACKING_URI`` or else ``sqlite:///mlflow.db``; artifacts of an SQLite store lie in
    ``mlruns`` beside it. ``run_id`` continues a run; without it the run of a resumed checkpoint is found by its tag.
    ``spool`` is the folder where everything is kept until it is sent: by default ``safeguards_spool`` beside an SQLite
    file, else in the working directory. The other arguments are those of Lightning's ``MLFlowLogger``.

    Rank 0 alone touches MLflow. Training appends to the spool and waits for nothing; a thread sends. A store that is
    away, from the start or later, costs a line in the log, and ``safeguards sync`` sends what is left. One that is
    there and refuses the job is told before training: `ConfigurationError`.
    """

    def __init__(
        self,
        *,
        experiment_name: str = "safeguards",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, Any] | None = None,
        artifact_location: str | None = None,
        run_id: str | None = None,
        log_model: Literal[True, False, "all"] = False,
        prefix: str = "",
        spool: str | Path | None = None,
    ) -> None:
        self._uri = resolve(tracking_uri)
        self._job: dict[str, Any] = {
            "id": f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}",
            "uri": redact(self._uri, known_secrets(os.environ)),
            "experiment": experiment_name,
            "artifact_location": artifact_location or artifact_folder(self._uri, experiment_name),
            "name": None if run_name is None else said(run_name),
            "run": run_id,
            "began": _now(),
            "tags": {},
        }
        self._place = spool_folder(self._uri, spool) / self._job["id"]
        self._beginning = f"{prefix}{self.LOGGER_JOIN_CHAR}" if prefix else ""
        self._log_model, self._checkpoint_callback, self._logged_model_time = log_model, None, {}
        self._run_id: str | None = None
        self._untouched, self._open = run_id is None, False
        self._line: tuple[int, Spool, Delivery, Sender] | None = None
        if self._is_first:
            set_defaults()
            self._job["tags"] = _context(tags or {})
            self._greet()

    @property
    def _is_first(self) -> bool:
        return getattr(rank_zero_only, "rank", 0) == 0

    def _greet(self) -> None:
        """Errors of MLflow quote URIs with their passwords: neither their text nor their chain may go on."""
        refusal = None
        try:
            if not self._sender.greeted(START_SECONDS):
                seconds = f"within {START_SECONDS:.0f} s"
                log.warning("tracking: %s has not answered %s, training goes on", said(self._uri), seconds)
        except Exception as error:
            refusal = said(error) if is_refusal(error) else None
        if refusal is not None:
            raise ConfigurationError(f"MLflowTracker(tracking_uri={said(self._uri)!r}): {refusal}")

    def _parts(self) -> tuple[Spool, Delivery, Sender]:
        """Of this process: a thread is neither forked nor pickled."""
        if self._line is None or self._line[0] != os.getpid():
            spool = Spool(self._place, self._job)
            delivery = Delivery(self._place, self._job, self._uri, spool=spool)
            self._line = os.getpid(), spool, delivery, Sender(delivery)
            atexit.register(_at_exit, self, os.getpid())
        return self._line[1:]

    @property
    def _spool(self) -> Spool:
        return self._parts()[0]

    @property
    def _sender(self) -> Sender:
        return self._parts()[2]

    def __getstate__(self) -> dict[str, Any]:
        """Another process goes on with the same spool."""
        return {**self.__dict__, "_line": None}

    @property
    @rank_zero_experiment
    def experiment(self) -> MlflowClient:
        """MLflow's client. What it writes to this job's run, also under ``run_id`` None, goes through the spool."""
        from safeguards.tracking.recorder import Recorder

        return Recorder(self._uri, self)

    @property
    def run_id(self) -> str | None:
        """Of the MLflow run, which is made now if need be; None on other ranks, and while the store is away."""
        if not self._is_first:
            return None
        _, delivery, sender = self._parts()
        if delivery.progress.run is None and not sender.rests:
            self._begin()
            sender.drain(END_SECONDS)
        return delivery.progress.run

    @property
    def experiment_id(self) -> str | None:
        """Of the MLflow experiment; None where `run_id` is."""
        return self._parts()[1].connect()[1] if self.run_id else None

    @property
    def save_dir(self) -> str | None:
        """None: checkpoints and ledgers go to the trainer's ``default_root_dir``."""
        return None

    @property
    def name(self) -> str:
        """The experiment, as the name of a folder: Lightning's own would ask the store."""
        return encode(str(self._job["experiment"]))

    @property
    def version(self) -> str | None:
        """The job, as the name of a folder; None on other ranks."""
        return str(self._job["id"]) if self._is_first else None

    def is_own(self, run_id: str | None) -> bool:
        """Whether this is the MLflow run of this job."""
        return run_id is None or run_id == self._parts()[1].progress.run

    def put(self, entities: Sequence[Point | Parameter | Tag]) -> None:
        """Append to the spool what `entities` makes, and have it sent."""
        self._untouched = self._untouched and not any(isinstance(one, Point) for one in entities)
        self._open = True
        self._spool.put(entities)
        self._sender.wake()

    def freeze(self, fill: Callable[[Path], object], to: str, *, source: Path | None = None) -> None:
        """Keep artifacts, copied by ``fill``; where there is no room for a copy they are read from ``source`` later."""
        self._freeze(fill, to, source)
        self._sender.wake()

    def _freeze(self, fill: Callable[[Path], object], to: str, source: Path | None = None) -> None:
        self._open = True
        try:
            self._spool.freeze(fill, to)
        except OSError as error:
            log.warning("artifacts for %s are not frozen before they are sent: %s", said(to or "the run"), said(error))
            self._spool.append("artifacts", to=to, **({} if source is None else {"source": str(source.absolute())}))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append the points, with this moment's time."""
        self.put(points({self._beginning + name: value for name, value in metrics.items()}, step))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Append what is sent once training begins; another value than the run has becomes ``safeguards.changed.*``."""
        self._open = True
        self._spool.put(parameters(params))

    @rank_zero_only
    def keep_text(self, text: str, name: str) -> None:
        """Keep a text as an artifact, without secrets."""
        clean, (*above, last) = redact(text, known_secrets(os.environ)), Path(name).parts
        self._freeze(lambda place: (place / last).write_text(clean, encoding="utf-8"), "/".join(above))

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Keep checkpoints as ``log_model`` asks. A failure costs a line in the log."""
        self._checkpoints(lambda: super(MLflowTracker, self).after_save_checkpoint(checkpoint_callback))

    def _checkpoints(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            log.warning("a checkpoint is not kept by tracking: %s", said(error))

    @rank_zero_only
    def begin_safeguards(self, run_id: str, directory: Path) -> None:
        """Training begins under this id of the ledger: a resumed checkpoint goes on in the MLflow run of its ledger.

        ``directory``, the ledger's, is told of the spool now: a job that is killed has no later moment for it.
        """
        self._open = True
        self._mark(directory)
        self._spool.append("ledger", id=run_id, join=self._untouched)
        self._untouched = False
        self.put(own_tags({"safeguards.ended": "running"}))

    @rank_zero_only
    def note_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Keep them in the spool, without secrets: should the job be killed, ``sync`` makes its ledger of them."""
        known = known_secrets(os.environ)
        self._spool.append("verdicts", verdicts=[redact_tree(verdict.to_dict(), known) for verdict in verdicts])

    @rank_zero_only
    def publish_safeguards(self, summary: Summary) -> None:
        """Tags with the outcomes and how the run ended, and the run's directory as artifacts. Again is harmless."""
        self.put(own_tags(tags_of(summary)))
        self._mark(summary.directory)
        self.freeze(
            lambda place: stage(summary.directory, place, known_secrets(os.environ)),
            "safeguards",
            source=summary.directory,
        )

    def _mark(self, directory: Path) -> None:
        with suppress(OSError):
            mark(directory, self._place)

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Close the run with this status, wait `END_SECONDS` at most for what is not sent, and say what is left."""
        if not self._open:
            return
        callback = self._checkpoint_callback
        if callback is not None:
            self._checkpoints(lambda: self._scan_and_log_checkpoints(callback))
        self._spool.append("end", status=_status(status), at=_now())
        self._open = False
        _, delivery, sender = self._parts()
        if not sender.drain(END_SECONDS):
            lines, artifacts = delivery.waiting()
            what = f"{lines} lines and {artifacts} artifacts" if lines + artifacts else "the end of the run"
            log.warning("%s did not reach %s: safeguards sync %s", what, said(self._uri), self._place.absolute())

    def _begin(self) -> None:
        """A run that is asked for exists, even when nothing is ever logged to it."""
        if not self._open:
            self._open = True
            self._spool.put([])

    def describe(self) -> dict[str, str]:
        """Where everything is, on rank 0: tracking_uri, experiment, run_id, artifacts and spool, without secrets."""
        found = {"tracking_uri": said(self._uri), "experiment": str(self._job["experiment"]), "spool": str(self._place)}
        run_id = self.run_id
        if run_id is None:
            return {**found, "run_id": "none yet: the store is away", "artifacts": str(self._place)}
        uri = self._parts()[1].connect()[0].get_run(run_id).info.artifact_uri
        return {**found, "run_id": run_id, "artifacts": said(uri)}


def _at_exit(tracker: MLflowTracker, process: int) -> None:
    """A process that ends without the end of a fit still says how it ended."""
    if tracker._open and process == os.getpid():
        tracker.finalize("failed" if hasattr(sys, "last_value") else "success")


def _status(status: str) -> str:
    """As MLflow calls it. A job that was told to end, by a signal or a key, was killed and did not fail."""
    if status in ("success", "finished"):
        return "FINISHED"
    told = was_told_to_end(sys.exc_info()[1])
    return "KILLED" if status == "failed" and told else status.upper()


def _context(tags: Mapping[str, Any]) -> dict[str, str]:
    """A user's tags, and where the job comes from as MLflow tells it, without secrets."""
    from mlflow.tracking.context.registry import resolve_tags

    return {tag.key: tag.value for tag in run_tags(resolve_tags({VERSIONS: versions(), **tags}))}


def _now() -> int:
    return int(time.time() * 1000)
