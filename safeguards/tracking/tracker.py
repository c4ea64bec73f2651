"""Lightning's MLflow logger with a store that works out of the box, no secrets in it, and the verdicts of the run."""

from __future__ import annotations

import importlib
import logging
import os
import re
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from lightning_utilities.core.rank_zero import rank_zero_only

from safeguards.core.compat import installed_namespaces, loaded_namespaces
from safeguards.core.errors import ConfigurationError
from safeguards.core.redact import known_secrets, redact
from safeguards.tracking.artifacts import stage
from safeguards.tracking.entities import own_tags, parameters, points, run_tags
from safeguards.tracking.outbox import Outbox
from safeguards.tracking.outcomes import tags_of
from safeguards.tracking.store import alone, artifact_folder, check, environment, resolve, said, set_defaults

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import rank_zero_experiment
    from mlflow.tracking import MlflowClient
    from pytorch_lightning.loggers import MLFlowLogger

    from safeguards.core.ending import Summary

__all__ = ["MLflowTracker"]

log = logging.getLogger(__name__)
# The store is there and says no: that is told before training. Anything else may pass.
REFUSALS = (
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED",
)


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
    The other arguments are those of Lightning's ``MLFlowLogger``.

    Rank 0 alone touches MLflow. It sees at construction, before any process is started, that the store is there and
    has its tables; `ConfigurationError` says in seconds what is wrong. From then on a store that fails costs a line in
    the log: points wait in memory until it is back, and the ledger on disk has every verdict.
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
    ) -> None:
        self._uri = resolve(tracking_uri)
        self._options: dict[str, Any] = {
            "experiment_name": experiment_name,
            "tracking_uri": self._uri,
            "run_name": None if run_name is None else said(run_name),
            "artifact_location": artifact_location or artifact_folder(self._uri, experiment_name),
            "log_model": log_model,
        }
        self._tags = tags or {}
        self._named_run = run_id
        self._beginning = f"{prefix}{self.LOGGER_JOIN_CHAR}" if prefix else ""
        self._outbox = Outbox()
        self._client: MlflowClient | None = None
        self._untouched = run_id is None
        self._replay: list[Callable[[], object]] = []
        self._refusal: str | None = None
        self._ledger: str | None = None
        if self._is_first:
            set_defaults()
            check(self._uri)
            try:
                self._connect(None)
                return
            except ConfigurationError:
                raise
            except Exception as error:
                cause = said(error)
            self._refuse(cause)

    @property
    @rank_zero_experiment
    def experiment(self) -> MlflowClient:
        """The client of the store. The run exists once this was asked for, or once a store that is away is back.

        Raises `ConfigurationError` when the store is there and refuses the run.
        """
        if not self._opened() and self._refusal is not None:
            self._refuse(self._refusal)
        return self._mlflow_client

    @property
    def _is_first(self) -> bool:
        return getattr(rank_zero_only, "rank", 0) == 0

    def _refuse(self, cause: str) -> NoReturn:
        """Errors of MLflow quote URIs with their passwords: neither their text nor their chain may go on."""
        raise ConfigurationError(f"MLflowTracker(tracking_uri={said(self._uri)!r}) cannot open a run: {cause}")

    def _opened(self, *, insist: bool = False) -> bool:
        """Whether there is a run, made or continued now if the store is there; then what waited for it is done."""
        if self._client is None and self._is_first:
            self._outbox.attempt("run", self._try_to_open, insist=insist)
            if self._client is not None:
                self._catch_up()
        return self._client is not None

    def _try_to_open(self) -> None:
        try:
            self._open(self._named_run)
        except Exception as error:
            if getattr(error, "error_code", None) not in REFUSALS:
                raise
            self._refusal = said(error)

    def _catch_up(self) -> None:
        if self._ledger is not None:
            self._resume(self._ledger)
        for again in self._replay:
            self._outbox.attempt("earlier texts", again)

    def _connect(self, run_id: str | None) -> None:
        """Make the client, and with it the tables of a new database."""
        with alone(self._uri):
            super().__init__(run_id=run_id, tags={tag.key: tag.value for tag in run_tags(self._tags)}, **self._options)

    def _open(self, run_id: str | None) -> MlflowClient:
        """Make the experiment and the run, or continue one. Lightning points the environment at its store meanwhile,
        which would be the next tracker's default: that is taken back.
        """
        uploads = self._checkpoint_callback, self._logged_model_time
        self._connect(run_id)
        self._checkpoint_callback, self._logged_model_time = uploads
        with alone(self._uri), environment({"MLFLOW_TRACKING_URI": self._uri}):
            try:
                client: MlflowClient = super().experiment
            except Exception as error:
                if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                    raise
                # Another job made the experiment between the look and the attempt; the lock spans one machine only.
                client = super().experiment
        self._client = client
        return client

    @property
    def run_id(self) -> str | None:
        """Of the MLflow run; None on other ranks than 0, and while there is none because the store is away."""
        return self._run_id if self._opened() else None

    @property
    def experiment_id(self) -> str | None:
        """Of the MLflow experiment; None where `run_id` is."""
        return self._experiment_id if self._opened() else None

    @property
    def save_dir(self) -> str | None:
        """None: checkpoints and ledgers go to the trainer's ``default_root_dir``."""
        return None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send the points, and those that could not be sent before."""
        self._untouched = False
        self._outbox.put(*points({self._beginning + name: value for name, value in metrics.items()}, step))
        self._send()

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Send what the run does not have yet; another value than it has becomes a tag ``safeguards.changed.*``."""
        made = parameters(params)
        self._replay.append(lambda: self._outbox.put(*made))
        self._outbox.put(*made)
        self._send()

    @rank_zero_only
    def keep_text(self, text: str, name: str) -> None:
        """Keep a text as an artifact, without secrets. A failure costs a line in the log."""
        clean = redact(text, known_secrets(os.environ))

        def keep() -> None:
            self._mlflow_client.log_text(str(self._run_id), clean, name)

        if self._opened():
            self._outbox.attempt(name, keep)
        self._replay.append(keep)

    def _send(self, *, insist: bool = False) -> bool:
        return self._opened(insist=insist) and self._outbox.send(self._mlflow_client, str(self._run_id), insist=insist)

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Send what waits and close the run with this status; say what could not be sent."""
        if self._client is None and not self._outbox.waiting:
            return
        close = super().finalize
        if self._send(insist=True):
            self._outbox.attempt("end of the run", lambda: close(status))
        if missing := self._outbox.missing:
            log.warning("%d points, parameters and tags did not reach %s", missing, said(self._uri))

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Upload checkpoints as ``log_model`` asks."""
        upload = super().after_save_checkpoint
        self._outbox.attempt("checkpoint", lambda: upload(checkpoint_callback))

    @rank_zero_only
    def begin_safeguards(self, run_id: str) -> None:
        """Training begins under this id of the ledger: a resumed checkpoint goes on in the MLflow run of its ledger."""
        if self._untouched and self._opened():
            self._resume(run_id)
        elif self._untouched:
            self._ledger = run_id
        self._outbox.put(*own_tags({"safeguards.run_id": run_id, "safeguards.ended": "running"}))
        self._send()

    def _resume(self, run_id: str) -> None:
        self._outbox.attempt("resume", lambda: self._rejoin(self._mlflow_client, run_id))

    def _rejoin(self, client: MlflowClient, run_id: str) -> None:
        """Lightning made a run before it read the checkpoint; where the ledger has one already, that one goes on."""
        earlier, made = _run_of(client, str(self._experiment_id), run_id), self._run_id
        if earlier is None or earlier == made:
            return
        client.update_run(earlier, status="RUNNING")
        self._open(earlier)
        for again in self._replay:
            again()
        client.delete_run(str(made))

    @rank_zero_only
    def publish_safeguards(self, summary: Summary) -> None:
        """Tags with the outcomes and how the run ended, and the run's directory as artifacts. Again is harmless."""
        self._outbox.put(*own_tags(tags_of(summary)))
        if not self._send(insist=True):
            return
        complete = self._outbox.attempt("artifacts", lambda: self._upload(summary.directory))
        self._outbox.put(*own_tags({"safeguards.tracking": "complete" if complete else "degraded: no artifacts"}))
        self._send(insist=True)

    def _upload(self, directory: Path) -> None:
        with tempfile.TemporaryDirectory() as place:
            stage(directory, Path(place), known_secrets(os.environ))
            self._mlflow_client.log_artifacts(str(self._run_id), place, "safeguards")

    def describe(self) -> dict[str, str]:
        """Where everything is, on rank 0: tracking_uri, experiment, run_id and artifacts, without secrets."""
        run = self.experiment.get_run(str(self.run_id))
        return {
            "tracking_uri": said(self._uri),
            "experiment": str(self._options["experiment_name"]),
            "run_id": run.info.run_id,
            "artifacts": said(run.info.artifact_uri),
        }


def _run_of(client: MlflowClient, experiment_id: str, run_id: str) -> str | None:
    """The first MLflow run of a ledger. The id comes out of a checkpoint and goes into a query: anything but an id is
    no id.
    """
    if not re.fullmatch(r"[\w-]+", run_id):
        return None
    wanted = f"tags.`safeguards.run_id` = '{run_id}'"
    runs = client.search_runs([experiment_id], wanted, order_by=["attributes.start_time ASC"], max_results=1)
    return runs[0].info.run_id if runs else None
