"""What a reader makes of a store, and that it leaves no trace in it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from safeguards.core.errors import ConfigurationError
from safeguards.core.verdict import Outcome
from safeguards.tracking import Found, RunReader
from safeguards.tracking import reading as module
from tests.helpers.runs import kept, verdict


@pytest.fixture
def uri(here: Path) -> str:
    """MLflow keeps a store open by its address, hence one of each test's own."""
    return f"sqlite:///{here}/mlflow.db"


@pytest.fixture
def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


@pytest.fixture
def experiment(client: Any, here: Path) -> str:
    return str(client.create_experiment("credit", (here / "artifacts").as_uri()))


def rows(uri: str, experiment: str) -> list[Any]:
    return [row for page in RunReader(uri).rows(experiment, at_once=2) for row in page]


def test_a_row_has_outcomes_and_margins(client: Any, uri: str, experiment: str, here: Path) -> None:
    kept(client, experiment, "a", [verdict(outcome="FAIL"), verdict("ratio", "ERROR")], place=here)
    (row,) = rows(uri, experiment)
    assert (row.name, row.status, row.ended, row.outcome) == ("a", "FINISHED", "finished", Outcome.ERROR)
    assert (row.ledger, row.counts) == ("ledger-a", "1 FAIL, 1 ERROR")
    assert row.measures == {
        "fairness.gap": Found(outcome=Outcome.FAIL, margin=-0.2),
        "fairness.ratio": Found(outcome=Outcome.ERROR),
    }
    assert row.stopped >= row.started > 1.6e9


def test_all_pages_are_read_the_newest_first(client: Any, uri: str, experiment: str) -> None:
    for number in range(5):
        client.create_run(experiment, start_time=1000 * (number + 1), run_name=str(number))
    assert [row.name for row in rows(uri, experiment)] == ["4", "3", "2", "1", "0"]
    assert {row.outcome for row in rows(uri, experiment)} == {None}


def test_the_run_of_a_study_is_no_run_of_a_model_and_its_trials_are(client: Any, uri: str, experiment: str) -> None:
    client.create_run(experiment, tags={"safeguards.study": "s1"}, run_name="study")
    client.create_run(experiment, tags={"safeguards.study": "s1", "safeguards.trial": "0"}, run_name="trial 0")
    assert [row.name for row in rows(uri, experiment)] == ["trial 0"]


def test_tags_that_are_no_outcomes_are_none(client: Any, uri: str, experiment: str) -> None:
    tags = {
        "safeguards.outcome": "pass",
        "safeguards.fairness.gap": "PASSED",
        "safeguards.changed.lr.x": "PASS",
        "safeguards.fairness.ratio": "PASS",
        "safeguards.fairness.ratio.margin": "nan",
        "other.fairness.gap": "PASS",
    }
    client.create_run(experiment, tags=tags)
    (row,) = rows(uri, experiment)
    assert row.outcome is None
    assert row.measures == {"fairness.ratio": Found(outcome=Outcome.PASS)}


def test_a_story_has_the_ledger_the_files_and_the_parameters(
    client: Any, uri: str, experiment: str, here: Path
) -> None:
    made = [verdict(outcome="FAIL"), verdict(epoch=1)]
    run = kept(client, experiment, "a", made, place=here, files={"r.html": "x"}, parameters={"lr": "1"})
    client.log_text(run, "a: 1", "config.yaml")
    story = RunReader(uri).story(run)
    assert story.verdicts == tuple(made)
    assert {one.path: one.size for one in story.artifacts if "verdicts" not in one.path} == {
        "config.yaml": 4,
        "safeguards/r.html": 1,
    }
    assert (dict(story.parameters), story.problems) == ({"lr": "1"}, ())
    assert RunReader(uri).artifact(run, "safeguards/r.html") == b"x"


def test_a_trial_of_a_search_keeps_its_verdicts_as_one_list(client: Any, uri: str, experiment: str) -> None:
    import json

    run = client.create_run(experiment, tags={"safeguards.trial": "0"}).info.run_id
    client.log_text(run, json.dumps([verdict().to_dict()]), "trial/verdicts.json")
    assert RunReader(uri).story(run).verdicts == (verdict(),)
    client.log_text(run, '[{"safeguard": 1}]', "trial/verdicts.json")
    story = RunReader(uri).story(run)
    assert story.verdicts == ()
    assert "damaged" in story.problems[0]


def test_what_is_missing_or_damaged_is_a_problem_and_no_error(
    client: Any, uri: str, experiment: str, here: Path
) -> None:
    silent = client.create_run(experiment).info.run_id
    assert "no ledger" in RunReader(uri).story(silent).problems[0]
    run = kept(client, experiment, "a", [verdict()], place=here)
    (file,) = here.glob(f"artifacts/{run}/artifacts/safeguards/verdicts.jsonl")
    file.write_text(file.read_text() + '{"torn')
    story = RunReader(uri).story(run)
    assert story.verdicts == (verdict(),)
    assert story.problems == ("safeguards/verdicts.jsonl:2: skipped, the line is torn",)


def test_a_curve_is_in_the_order_of_steps(client: Any, uri: str, experiment: str) -> None:
    run = client.create_run(experiment).info.run_id
    for step, value in ((2, 0.5), (0, 1.0), (1, 0.75)):
        client.log_metric(run, "loss", value, step=step)
    assert [(one.step, one.value) for one in RunReader(uri).curve(run, "loss")] == [(0, 1.0), (1, 0.75), (2, 0.5)]
    assert RunReader(uri).curve(run, "none") == ()


@pytest.mark.parametrize("run_id", ["0" * 32, "", "../x", "x'; DROP TABLE runs; --"])
def test_a_run_that_is_not_there_is_a_lookup_error(run_id: str, client: Any, uri: str) -> None:
    with pytest.raises(LookupError, match="there is no run"):
        RunReader(uri).story(run_id)


def test_nothing_is_written(client: Any, uri: str, experiment: str, here: Path) -> None:
    run = kept(client, experiment, "a", [verdict()], place=here)
    before = {path: digest(path) for path in here.rglob("*") if path.is_file()}
    reader = RunReader(uri)
    list(reader.rows(experiment, at_once=10))
    reader.story(run)
    assert {path: digest(path) for path in here.rglob("*") if path.is_file()} == before
    with pytest.raises(Exception, match="readonly database"):
        reader._client.set_tag(run, "safeguards.outcome", "FAIL")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_not_there_is_not_made(here: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file .*none\.db"):
        RunReader("sqlite:///none.db")
    assert not (here / "none.db").exists()


def test_a_file_that_is_no_database_is_said(here: Path) -> None:
    (here / "text.db").write_text("text " * 100)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        RunReader("sqlite:///text.db")


def test_an_odd_path_is_a_path(here: Path, empty_database: Path) -> None:
    import shutil

    odd = here / "a b%20#c"
    odd.mkdir()
    shutil.copyfile(empty_database, odd / "m.db")
    assert [one.name for one in RunReader(f"sqlite:///{odd}/m.db").experiments()] == ["Default"]
    assert sorted(path.name for path in odd.iterdir()) == ["m.db"]
    assert sorted(path.name for path in here.iterdir()) == ["a b%20#c", "mlflow.db"]


def test_a_link_among_the_artifacts_leads_nowhere(client: Any, uri: str, experiment: str, here: Path) -> None:
    run = kept(client, experiment, "a", [verdict()], place=here)
    (here / "secret.txt").write_text("canary")
    (folder,) = here.glob(f"artifacts/{run}/artifacts/safeguards")
    os.symlink(here / "secret.txt", folder / "report.html")
    with pytest.raises(LookupError, match="leads out"):
        RunReader(uri).artifact(run, "safeguards/report.html")


@pytest.mark.parametrize(
    "path", ["../../../mlflow.db", "safeguards/../../../../mlflow.db", "/etc/passwd", "", "safeguards"]
)
def test_only_what_the_run_lists_is_given(path: str, client: Any, uri: str, experiment: str, here: Path) -> None:
    run = kept(client, experiment, "a", [verdict()], place=here)
    with pytest.raises(LookupError, match="no artifact"):
        RunReader(uri).artifact(run, path)


def test_a_huge_file_is_not_loaded(
    client: Any, uri: str, experiment: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = kept(client, experiment, "a", [verdict()], place=here, files={"big.html": "x" * 2000})
    monkeypatch.setattr(module, "LARGEST", 1999)
    with pytest.raises(LookupError, match="2,000 bytes"):
        RunReader(uri).artifact(run, "safeguards/big.html")


def test_artifacts_behind_the_server_are_read_where_it_keeps_them(client: Any, uri: str, here: Path) -> None:
    experiment = client.create_experiment("proxied", "mlflow-artifacts:/7")
    run = client.create_run(experiment, tags={"safeguards.outcome": "PASS"}).info.run_id
    place = here / "kept" / "7" / run / "artifacts" / "safeguards"
    place.mkdir(parents=True)
    (place / "r.html").write_text("x")
    reader = RunReader(uri, artifacts=str(here / "kept"))
    assert reader.artifact(run, "safeguards/r.html") == b"x"
