"""Runs as a reviewer reads them: outcomes and margins out of tags, verdicts and reports out of artifacts. Nothing is
written: a database file is opened for reading only.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from safeguards.core.errors import ConfigurationError, LedgerError
from safeguards.core.ledger import read
from safeguards.core.redact import known_secrets, redact, redact_tree
from safeguards.core.verdict import Outcome, Verdict
from safeguards.tracking.outcomes import MARGIN
from safeguards.tracking.store import database_file, quiet, reach, resolve, said, set_defaults

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.tracking import MlflowClient

__all__ = ["Artifact", "Experiment", "Found", "Point", "RunReader", "RunRow", "RunStory"]

PREFIX = "safeguards."
OTHERS = ("safeguards.changed.", "safeguards.infinite.", "safeguards.study", "safeguards.trial")
LEDGERS = ("safeguards/verdicts.jsonl", "trial/verdicts.json")
MADE_WITH = (("commit", "mlflow.source.git.commit"), ("versions", "safeguards.versions"))
OUTCOMES = frozenset(Outcome)
LARGEST = 64 * 2**20
DEEPEST, MOST_FILES = 6, 2000


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A name and the id that MLflow gave it."""

    experiment_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the tags of a run say of one measure. ``margin`` >= 0 is within the limit; None where there is no number."""

    outcome: Outcome
    margin: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run as its tags tell it, which takes no artifact. Times are seconds since 1970; ``outcome`` is None where no
    safeguard has spoken; ``measures`` is by "<safeguard>.<measure>".
    """

    run_id: str
    experiment_id: str
    name: str
    status: str
    started: float | None
    stopped: float | None
    ended: str
    outcome: Outcome | None
    counts: str
    ledger: str
    tracking: str
    measures: Mapping[str, Found]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file of a run, by its path below the run's artifacts; ``size`` in bytes, None where the store tells none."""

    path: str
    size: int | None


@dataclass(frozen=True, kw_only=True)
class RunStory:
    """All that is kept of a run. ``problems`` has a line for each thing that could not be read. ``made_with`` has
    "commit" and "versions" where the run was told of them.
    """

    row: RunRow
    verdicts: tuple[Verdict, ...]
    artifacts: tuple[Artifact, ...]
    problems: tuple[str, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a metric; ``when`` in seconds since 1970."""

    step: int
    value: float
    when: float


class RunReader:
    """Reads the runs of one store. ``tracking_uri`` is `MLflowTracker`'s.

    ``artifacts`` is where ``mlflow-artifacts:`` addresses lead when no server of that store is asked, as inside the
    server itself. Raises `ConfigurationError`, in seconds and without secrets, where there is no store to read, and
    `StoreAway` where a server does not answer.
    """

    def __init__(self, tracking_uri: str | None = None, *, artifacts: str | None = None) -> None:
        self.uri = resolve(tracking_uri)
        self._artifacts = artifacts
        set_defaults()
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        self._reading = _read_only(self.uri)
        self._client = self._connect()

    @property
    def client(self) -> MlflowClient:
        """For this room: where the store is a file it cannot write."""
        return self._client

    def _connect(self) -> MlflowClient:
        try:
            from mlflow.tracking import MlflowClient

            with quiet():
                client = MlflowClient(self._reading, registry_uri=self._reading)
                client.search_experiments(max_results=1)
            return client
        except Exception as error:
            cause = said(error)
        raise ConfigurationError(f"{said(self.uri)!r} cannot be read: {cause}")

    def experiments(self) -> list[Experiment]:
        """Those that were not deleted, the newest first."""
        found, token = [], None
        while True:
            page = self._client.search_experiments(page_token=token, order_by=["last_update_time DESC"])
            found += [Experiment(experiment_id=str(one.experiment_id), name=str(one.name)) for one in page]
            token = page.token
            if not token:
                return found

    def rows(self, experiment_id: str, *, at_once: int) -> Iterator[list[RunRow]]:
        """The runs of an experiment, the newest first, a page at a time and a query each. The run above the trials of a
        study judges nothing and is left out.
        """
        token = None
        while True:
            page = self._client.search_runs(
                [experiment_id], max_results=at_once, order_by=["attributes.start_time DESC"], page_token=token
            )
            known = known_secrets(os.environ)
            yield [row_of(run, known) for run in page if not _is_study(run)]
            token = page.token
            if not token:
                return

    def row(self, run_id: str) -> RunRow:
        """Raises ``LookupError`` where there is no such run."""
        return row_of(self._run(run_id), known_secrets(os.environ))

    def story(self, run_id: str) -> RunStory:
        """Raises ``LookupError`` where there is no such run; what else cannot be read is a line of ``problems``."""
        run = self._run(run_id)
        problems: list[str] = []
        artifacts: list[Artifact] = []
        try:
            artifacts = list(self._files(run, "", DEEPEST))[:MOST_FILES]
        except Exception as error:
            problems.append(f"the artifacts cannot be listed: {said(error)}")
        ledger = next((one for name in LEDGERS for one in artifacts if one.path == name), None)
        verdicts, damaged = self._verdicts(run, ledger)
        known = known_secrets(os.environ)
        return RunStory(
            row=row_of(run, known),
            verdicts=tuple(Verdict.from_dict(redact_tree(one.to_dict(), known)) for one in verdicts),
            artifacts=tuple(artifacts),
            problems=(*problems, *damaged),
            metrics=dict(run.data.metrics),
            parameters=redact_tree(dict(run.data.params), known),
            made_with={name: redact(run.data.tags[tag], known) for name, tag in MADE_WITH if tag in run.data.tags},
        )

    def artifact(self, run_id: str, path: str, *, below: str = "") -> bytes:
        """The content of a file that `story` lists. Raises ``LookupError`` for any other, and for a huge one. ``below``
        is a folder that is known to be one of the run's: only it is listed.
        """
        run = self._run(run_id)
        one = next((one for one in self._files(run, below, 1 if below else DEEPEST) if one.path == path), None)
        if one is None:
            raise LookupError(f"the run has no artifact {path!r}")
        return self._content(run, one)

    def curve(self, run_id: str, metric: str) -> tuple[Point, ...]:
        """Every value of a metric, in the order of steps."""
        points = self._client.get_metric_history(run_id, metric)
        made = [Point(step=one.step, value=float(one.value), when=one.timestamp / 1000) for one in points]
        return tuple(sorted(made, key=lambda one: (one.step, one.when)))

    def _run(self, run_id: str) -> Run:
        try:
            return self._client.get_run(run_id)
        except Exception as error:
            code = getattr(error, "error_code", None)
            if code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        raise LookupError(f"there is no run {run_id!r}")

    def _files(self, run: Run, below: str, deepest: int) -> Iterator[Artifact]:
        for one in self._repository(run).list_artifacts(below or None) or ():
            if not one.is_dir:
                yield Artifact(path=str(one.path), size=one.file_size)
            elif deepest > 1:
                yield from self._files(run, str(one.path), deepest - 1)

    def _repository(self, run: Run) -> ArtifactRepository:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(self._place(run), tracking_uri=self._reading)

    def _place(self, run: Run) -> str:
        uri = str(run.info.artifact_uri)
        parts = urlsplit(uri)
        if parts.scheme != "mlflow-artifacts" or self._artifacts is None:
            return uri
        return f"{self._artifacts.rstrip('/')}/{parts.path.lstrip('/')}"

    def _content(self, run: Run, one: Artifact) -> bytes:
        if one.size is not None and one.size > LARGEST:
            raise LookupError(f"{one.path!r} has {one.size:,} bytes, more than the {LARGEST:,} that are shown")
        _refuse_links(self._place(run), one.path)
        with tempfile.TemporaryDirectory() as folder:
            repository: Any = self._repository(run)
            return Path(repository.download_artifacts(one.path, dst_path=folder)).read_bytes()

    def _verdicts(self, run: Run, ledger: Artifact | None) -> tuple[list[Verdict], list[str]]:
        if ledger is None:
            return [], ["there is no ledger among the artifacts: the table tells what the tags say"]
        try:
            return _parsed(self._content(run, ledger), ledger.path)
        except Exception as error:
            return [], [f"the ledger cannot be read: {said(error)}"]


def row_of(run: Run, known: Collection[str] = ()) -> RunRow:
    """The plain values of MLflow's run; names without what looks like a secret, and without those ``known``."""
    tags: Mapping[str, str] = run.data.tags
    outcome = tags.get("safeguards.outcome")
    found = dict(_measures(tags))
    return RunRow(
        run_id=str(run.info.run_id),
        experiment_id=str(run.info.experiment_id),
        name=redact(str(run.info.run_name or run.info.run_id), known),
        status=str(run.info.status),
        started=_seconds(run.info.start_time),
        stopped=_seconds(run.info.end_time),
        ended=redact(tags.get("safeguards.ended", ""), known),
        outcome=Outcome(outcome) if outcome in OUTCOMES else None,
        counts=tags.get("safeguards.verdicts", ""),
        ledger=tags.get("safeguards.run_id", ""),
        tracking=tags.get("safeguards.tracking", ""),
        measures=found,
    )


def _measures(tags: Mapping[str, str]) -> Iterator[tuple[str, Found]]:
    for name in sorted(tags):
        measure = name.removeprefix(PREFIX)
        if measure != name and "." in measure and not name.startswith(OTHERS) and tags[name] in OUTCOMES:
            yield measure, Found(outcome=Outcome(tags[name]), margin=_margin(tags.get(f"{name}{MARGIN}")))


def _margin(text: str | None) -> float | None:
    try:
        value = float(text or "none")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_study(run: Run) -> bool:
    return "safeguards.study" in run.data.tags and "safeguards.trial" not in run.data.tags


def _seconds(milliseconds: Any) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _read_only(uri: str) -> str:
    """The address by which SQLite itself refuses to write, and MLflow to make a database that is not there."""
    place = database_file(uri)
    if place is None:
        reach(uri)
        return uri
    if not place.is_file():
        raise ConfigurationError(f"{said(uri)!r} cannot be read: there is no file {place}; name another tracking_uri")
    from sqlalchemy.engine import URL

    address = URL.create("sqlite+pysqlite", database=f"file:{quote(str(place))}", query={"mode": "ro", "uri": "true"})
    return address.render_as_string()


def _refuse_links(place: str, path: str) -> None:
    """A link among local artifacts could lead to any file of this machine."""
    parts = urlsplit(place)
    if parts.scheme not in ("", "file"):
        return
    root = Path(unquote(parts.path) if parts.scheme else place).resolve()
    if not (root / path).resolve().is_relative_to(root):
        raise LookupError(f"{path!r} leads out of the run's artifacts")


def _parsed(content: bytes, path: str) -> tuple[list[Verdict], list[str]]:
    if path.endswith(".json"):
        return _trial(content)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "verdicts.jsonl")
        file.write_bytes(content)
        verdicts, problems = read(file)
    return verdicts, [problem.replace(str(file), path) for problem in problems]


def _trial(content: bytes) -> tuple[list[Verdict], list[str]]:
    """A search keeps the last verdicts of a trial as one list."""
    import json

    try:
        listed: Sequence[Any] = json.loads(content)
        return [Verdict.from_dict(one) for one in listed], []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerError(f"trial/verdicts.json is damaged: {type(error).__name__}") from None
