"""A search in MLflow: one parent run for the study, one run below it for each trial, whatever became of it."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from safeguards.core.process import was_told_to_end
from safeguards.core.redact import known_secrets, redact_tree
from safeguards.core.verdict import Verdict
from safeguards.tracking.breaker import Breaker
from safeguards.tracking.entities import own_tags, parameters, points
from safeguards.tracking.outcomes import by_measure
from safeguards.tracking.sending import deliver
from safeguards.tracking.store import alone, artifact_folder, check, resolve, said, set_defaults

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

__all__ = ["StudyTracker"]

STUDY, TRIAL, STATE = "safeguards.study", "safeguards.trial", "safeguards.trial.state"
PARENT = "mlflow.parentRunId"
STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "lost": "FAILED"}
LOCK_SECONDS = 60.0
PAGE = 1000
Files = Callable[[], Mapping[str, bytes]]


class Trial(Protocol):
    """What is kept of a trial that has ended; `safeguards.search.story.Tried` is one."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def feasible(self) -> bool: ...
    @property
    def here(self) -> bool: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def values(self) -> Mapping[str, float]: ...
    @property
    def violations(self) -> Mapping[str, float]: ...
    @property
    def verdicts(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def began(self) -> float | None: ...
    @property
    def ended(self) -> float | None: ...


class Study(Protocol):
    """What is kept of a study; `safeguards.search.story.Story` is one."""

    @property
    def identity(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def tried(self) -> Sequence[Trial]: ...
    @property
    def best(self) -> Sequence[int]: ...


class StudyTracker:
    """Keeps a study in MLflow, as often as it is told: what is there already is not kept twice.

    ``tracking_uri`` and ``experiment_name`` are `MLflowTracker`'s. A trial whose own trainer logs to the same
    experiment under the tags `tags` is not given a second run: its run becomes the child. A continued study goes on in
    the run of its parent, found by the study's identity.

    A store that is away costs one line in the log. The study itself has everything, so the next call, or the next
    search, makes up for it. Of several hosts each keeps the trials that it trained.
    """

    def __init__(self, *, experiment_name: str = "safeguards", tracking_uri: str | None = None) -> None:
        self._uri = resolve(tracking_uri)
        self._experiment = experiment_name
        self._breaker = Breaker(first=30.0)

    def tags(self, identity: str, number: int) -> dict[str, str]:
        """By which the run of a trial's own trainer is known."""
        return {STUDY: identity, TRIAL: str(number)}

    def keep(self, study: Study, files: Files, *, last: bool = False) -> bool:
        """Keep the trials that have ended, and ``files`` by name as artifacts of the parent; False when that failed.

        ``last`` closes the parent run, as killed where a search was told to end, and asks a store again that was away a
        moment ago.
        """
        return self._breaker.attempt("study", lambda: self._keep(study, files, last=last), insist=last)

    def _keep(self, study: Study, files: Files, *, last: bool) -> None:
        set_defaults()
        check(self._uri)
        with _one_at_a_time(study.identity):
            client, experiment = self._open()
            runs = _runs_of(client, experiment, study.identity)
            parent, *others = _parents(client, experiment, study, runs)
            _take_in(client, parent, others, runs)
            children = {run.data.tags[TRIAL]: run for run in reversed(runs) if TRIAL in run.data.tags}
            for one in study.tried:
                child = children.get(str(one.number))
                if one.here and (child is None or child.data.tags.get(STATE) != one.state):
                    _keep_trial(client, child or _made(client, experiment, study, one), one, parent)
            deliver(client, parent, own_tags(_summary(study)))
            _upload(client, parent, files)
            client.update_run(parent, status="RUNNING")
            if last:
                client.set_terminated(parent, "KILLED" if was_told_to_end(sys.exc_info()[1]) else "FINISHED")

    def _open(self) -> tuple[MlflowClient, str]:
        from mlflow.tracking import MlflowClient

        with alone(self._uri):
            client = MlflowClient(self._uri)
            found = client.get_experiment_by_name(self._experiment)
            if found is not None:
                return client, str(found.experiment_id)
            return client, client.create_experiment(self._experiment, artifact_folder(self._uri, self._experiment))


@contextmanager
def _one_at_a_time(identity: str) -> Iterator[None]:
    """Searches of one host that share a study would each make a run for the same trial."""
    from filelock import FileLock

    user = os.getuid() if hasattr(os, "getuid") else 0
    with FileLock(Path(tempfile.gettempdir(), f"safeguards-{user}-{_known(identity)}.lock"), timeout=LOCK_SECONDS):
        yield


def _known(identity: str) -> str:
    """It goes into a query and a file's name: anything but an identity is none."""
    if not re.fullmatch(r"[\w-]{1,64}", identity):
        raise ValueError(f"{identity!r} is no identity of a study")
    return identity


def _runs_of(client: MlflowClient, experiment: str, identity: str) -> list[Run]:
    """The earliest first."""
    found: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment],
            f"tags.`{STUDY}` = '{_known(identity)}'",
            max_results=PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        found += page
        token = page.token
        if not token:
            return found


def _parents(client: MlflowClient, experiment: str, study: Study, runs: Sequence[Run]) -> list[str]:
    """The run of the study, and others if two hosts that began it at once made one each."""
    parents = sorted((run.info.start_time, str(run.info.run_id)) for run in runs if TRIAL not in run.data.tags)
    if parents:
        return [run_id for _, run_id in parents]
    began = min((one.began for one in study.tried if one.began is not None), default=time.time())
    made = client.create_run(
        experiment, start_time=int(began * 1000), tags={STUDY: study.identity}, run_name=said(study.name)
    )
    return [str(made.info.run_id)]


def _take_in(client: MlflowClient, parent: str, others: Sequence[str], runs: Sequence[Run]) -> None:
    """The run that every host takes for the study's gets the trials below the others, which go."""
    for run in runs:
        if run.data.tags.get(PARENT) in others:
            client.set_tag(run.info.run_id, PARENT, parent)
    for run_id in others:
        client.delete_run(run_id)


def _made(client: MlflowClient, experiment: str, study: Study, one: Trial) -> Run:
    return client.create_run(
        experiment,
        start_time=None if one.began is None else int(one.began * 1000),
        tags={STUDY: study.identity, TRIAL: str(one.number)},
        run_name=f"trial {one.number}",
    )


def _keep_trial(client: MlflowClient, run: Run, one: Trial, parent: str) -> None:
    """Its state comes last: without it the trial is kept again."""
    run_id = str(run.info.run_id)
    numbers = {f"objective/{name}": value for name, value in one.values.items()}
    numbers |= {f"violation/{name}": value for name, value in one.violations.items()}
    verdicts = by_measure([Verdict.from_dict(verdict) for verdict in one.verdicts])
    tags = {name: outcome for name, outcome in verdicts.items() if name not in run.data.tags}
    tags |= {PARENT: parent, "safeguards.trial.feasible": str(one.feasible).lower()}
    tags |= {"safeguards.trial.reason": said(one.reason)} if one.reason else {}
    deliver(client, run_id, [*parameters(one.parameters), *points(numbers, 0), *own_tags(tags)])
    text = json.dumps(redact_tree(list(one.verdicts), known_secrets(os.environ)), indent=1)
    client.log_text(run_id, text, "trial/verdicts.json")
    client.update_run(run_id, name=f"trial {one.number}")
    if run.info.status != STATUS[one.state]:
        ended = None if one.ended is None else int(one.ended * 1000)
        client.set_terminated(run_id, STATUS[one.state], ended)
    deliver(client, run_id, own_tags({STATE: one.state}))


def _summary(study: Study) -> dict[str, str]:
    states = [one.state for one in study.tried if one.state != "lost"]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed"))
    best = ", ".join(map(str, study.best)) or "none is feasible"
    return {
        "safeguards.study.trials": counts,
        "safeguards.study.feasible": str(sum(one.feasible for one in study.tried)),
        "safeguards.study.best": best,
    }


def _upload(client: MlflowClient, run_id: str, files: Files) -> None:
    with tempfile.TemporaryDirectory() as place:
        for name, content in files().items():
            Path(place, name).write_bytes(content)
        client.log_artifacts(run_id, place, "study")
