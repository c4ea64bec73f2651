"""A study in MLflow: one parent, one child per trial, whatever happened and however often it is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from safeguards.tracking import MLflowTracker, StudyTracker
from tests.helpers.ports import held_port

CANARY = "c4naryV4lue"
VERDICT = {
    "safeguard": "fairness",
    "measure": "gap",
    "outcome": "PASS",
    "reason": f"password={CANARY}",
    "moment": {"stage": "validate", "epoch": 0, "step": 4, "loader": None},
}


@dataclass(frozen=True)
class Trial:
    number: int
    state: str = "complete"
    reason: str = ""
    feasible: bool = True
    here: bool = True
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"model.rate": 0.25, "net<b>": "a"})
    values: Mapping[str, float] = field(default_factory=lambda: {"accuracy": 0.5})
    violations: Mapping[str, float] = field(default_factory=lambda: {"fairness/gap": -0.125})
    verdicts: tuple[Mapping[str, Any], ...] = (VERDICT,)
    began: float | None = 1000.0
    ended: float | None = 1060.0


@dataclass(frozen=True)
class Study:
    tried: tuple[Trial, ...]
    identity: str = "a1b2"
    name: str = f"api_key={CANARY}"
    best: tuple[int, ...] = ()


FAILED = Trial(1, "failed", f"killed; token={CANARY}", feasible=False, values={}, violations={}, verdicts=())
PRUNED = Trial(2, "pruned", "told to", feasible=False, values={})


def files() -> dict[str, bytes]:
    return {"history.png": b"picture"}


def keep(study: Study, *, last: bool = False) -> bool:
    return StudyTracker().keep(study, files, last=last)


def client() -> MlflowClient:
    """MLflow keeps an open store for each address, hence not a relative one."""
    return MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")


def runs(identity: str = "a1b2") -> tuple[list[Run], dict[int, Run]]:
    """The parents, and the children by number; two of one number are an error."""
    found = client().search_runs(["1"], f"tags.`safeguards.study` = '{identity}'")
    children = [run for run in found if "safeguards.trial" in run.data.tags]
    by_number = {int(run.data.tags["safeguards.trial"]): run for run in children}
    assert len(by_number) == len(children)
    return [run for run in found if run not in children], by_number


def artifact(run: Run, name: str) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"), name)


def test_each_trial_is_a_child_with_its_numbers_and_what_became_of_it(here: Path) -> None:
    assert keep(Study((Trial(0), FAILED, PRUNED), best=(0,)), last=True)
    (parent,), children = runs()
    assert parent.info.status == "FINISHED"
    own = {name: value for name, value in parent.data.tags.items() if name.startswith("safeguards.study.")}
    assert own == {
        "safeguards.study.trials": "1 complete, 1 pruned, 1 failed",
        "safeguards.study.feasible": "1",
        "safeguards.study.best": "0",
    }
    assert artifact(parent, "study/history.png").read_bytes() == b"picture"
    assert [children[n].info.status for n in range(3)] == ["FINISHED", "FAILED", "FINISHED"]
    assert [children[n].data.tags["safeguards.trial.state"] for n in range(3)] == ["complete", "failed", "pruned"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    first = children[0]
    assert first.data.metrics == {"objective/accuracy": 0.5, "violation/fairness/gap": -0.125}
    assert first.data.params["model.rate"] == "0.25"
    assert first.data.tags["safeguards.fairness.gap"] == "PASS"
    assert first.data.tags["safeguards.trial.feasible"] == "true"
    assert (first.info.start_time, first.info.end_time) == (1_000_000, 1_060_000)
    assert json.loads(artifact(first, "trial/verdicts.json").read_text())[0]["measure"] == "gap"
    assert "killed" in children[1].data.tags["safeguards.trial.reason"]
    assert children[2].data.metrics == {"violation/fairness/gap": -0.125}


def test_no_secret_arrives(here: Path) -> None:
    secret = Trial(0, parameters={"model.password": CANARY, "url": f"http://me:{CANARY}@h"})
    assert keep(Study((secret, FAILED)))
    (parent,), children = runs()
    told = [str(run.to_dictionary()) for run in (parent, *children.values())]
    told += [path.read_text() for path in here.rglob("verdicts.json")]
    assert len(told) == 5
    assert not [text for text in told if CANARY in text]
    assert "[redacted]" in children[0].data.params["url"]


def test_told_again_and_continued_it_stays_one_study(here: Path) -> None:
    study = Study((Trial(0), FAILED))
    keep(study)
    keep(study, last=True)
    keep(replace(study, tried=(*study.tried, PRUNED)))
    (parent,), children = runs()
    assert sorted(children) == [0, 1, 2]
    assert parent.info.status == "RUNNING"
    history = client().get_metric_history(children[0].info.run_id, "objective/accuracy")
    assert len(history) == 1
    keep(replace(study, identity="c3d4"))
    assert [len(one) for one in runs("c3d4")] == [1, 2], "another study of the same name is another"


def test_a_trial_that_is_trained_again_is_told_as_lost(here: Path) -> None:
    keep(Study((FAILED,)))
    keep(Study((replace(FAILED, state="lost"), Trial(3))))
    (parent,), children = runs()
    assert children[1].data.tags["safeguards.trial.state"] == "lost"
    assert parent.data.tags["safeguards.study.trials"] == "1 complete, 0 pruned, 0 failed"
    assert parent.data.tags["safeguards.study.best"] == "none is feasible"


def test_the_run_of_a_trial_s_own_trainer_becomes_its_child(here: Path) -> None:
    tracker = StudyTracker()
    own = MLflowTracker(tags=tracker.tags("a1b2", 0))
    own.log_metrics({"val_loss": 0.5}, step=3)
    own.log_hyperparams({"model.rate": 0.25})
    assert own.run_id is not None
    client().set_tag(own.run_id, "safeguards.fairness.gap", "WARN")
    assert tracker.keep(Study((replace(Trial(0), state="failed"),)), files)
    (parent,), children = runs()
    assert children[0].info.run_id == own.run_id
    assert children[0].info.status == "FAILED", "a trainer that was killed leaves its run open"
    assert children[0].info.run_name == "trial 0"
    assert children[0].data.metrics["val_loss"] == 0.5
    assert children[0].data.tags["safeguards.fairness.gap"] == "WARN", "what the trainer said of itself stays"
    assert children[0].data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_each_host_keeps_the_trials_that_it_trained(here: Path) -> None:
    keep(Study((Trial(0), replace(PRUNED, here=False))))
    (parent,), children = runs()
    assert sorted(children) == [0]
    assert parent.data.tags["safeguards.study.trials"] == "1 complete, 1 pruned, 0 failed"


def test_a_store_that_is_away_is_said_once_and_made_up_for(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    with held_port() as port, caplog.at_level(logging.WARNING):
        away = StudyTracker(tracking_uri=f"http://me:{CANARY}@127.0.0.1:{port}")
        assert not away.keep(Study((Trial(0),)), files)
        assert not away.keep(Study((Trial(0), FAILED)), files, last=True)
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("safeguards")]
    assert "tracking failed" in line
    assert CANARY not in line
    assert keep(Study((Trial(0), FAILED)))
    assert sorted(runs()[1]) == [0, 1]


def test_a_picture_that_cannot_be_drawn_ends_nothing(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, bytes]:
        raise ZeroDivisionError("no picture")

    assert not StudyTracker().keep(Study((Trial(0),)), broken)
    assert "no picture" in caplog.text
    assert sorted(runs()[1]) == [0]


@pytest.mark.parametrize("identity", ["", "x' OR '1' = '1", "../../x"])
def test_what_is_no_identity_reaches_no_query(here: Path, identity: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not keep(replace(Study((Trial(0),)), identity=identity))
    assert "no identity" in caplog.text


def test_of_two_runs_that_hosts_made_for_a_study_at_once_one_stays_with_the_trials_of_both(here: Path) -> None:
    """Neither had seen the other's."""
    assert keep(Study((Trial(0),)))
    (first,), _ = runs()
    later = first.info.start_time + 1
    second = client().create_run(first.info.experiment_id, start_time=later, tags={"safeguards.study": "a1b2"})
    tags = {"safeguards.study": "a1b2", "safeguards.trial": "1", "mlflow.parentRunId": second.info.run_id}
    client().create_run(first.info.experiment_id, start_time=later, tags=tags)
    assert keep(Study((Trial(0), Trial(1, here=False))), last=True)
    (parent,), children = runs()
    assert parent.info.run_id == first.info.run_id
    assert {number: run.data.tags["mlflow.parentRunId"] for number, run in children.items()} == {
        0: first.info.run_id,
        1: first.info.run_id,
    }
