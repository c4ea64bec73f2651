"""A search is kept where its trainings are kept; trials are told by hand."""

import pytest
from mlflow.tracking import MlflowClient

from tests.search.ran import run, told_by_hand, trials

LOGGER = {"class_path": "safeguards.tracking.MLflowTracker", "init_args": {"experiment_name": "toy"}}


@pytest.fixture
def written(monkeypatch, tmp_path):
    """The configurations that were trained; the second trial crashes."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return told_by_hand(monkeypatch, crashes={2})


def test_a_study_goes_on_in_one_run_above_those_of_its_trials(written, tmp_path, kept):
    logger = {**LOGGER, "init_args": {**LOGGER["init_args"], "tags": {"team": "a"}}}
    for count in (2, 3):
        run(trials(tmp_path, logger=logger, storage=kept), count)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    numbers = sorted(run.data.tags["safeguards.trial"] for run in runs if run is not parent)
    assert numbers == ["0", "1", "2"]
    assert parent.data.tags["safeguards.study.trials"] == "2 complete, 0 pruned, 1 failed"
    assert parent.info.status == "FINISHED"
    files = {file.path for file in client.list_artifacts(parent.info.run_id, "study")}
    assert files == {"study/history.png", "study/limits.png", "study/result.txt"}
    identity = parent.data.tags["safeguards.study"]
    assert [one["trainer"]["logger"]["init_args"]["tags"] for one in written] == [
        {"team": "a", "safeguards.study": identity, "safeguards.trial": str(number)} for number in range(3)
    ]


@pytest.mark.parametrize("logger", [False, {"class_path": "CSVLogger", "init_args": {"save_dir": "x"}}])
def test_trainings_that_are_kept_elsewhere_make_no_store(written, tmp_path, logger):
    run(trials(tmp_path, logger=logger), 1)
    assert not (tmp_path / "mlflow.db").exists()
    assert "tags" not in str(written[0])


def test_a_store_that_is_away_costs_the_search_nothing(written, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run(trials(tmp_path, logger=[LOGGER]), 1)
    assert len([record for record in caplog.records if "tracking failed" in record.getMessage()]) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "KILLED"), (ValueError("a fault"), "FINISHED")],
)
def test_it_is_closed_when_the_search_breaks(written, tmp_path, kept, error, status):
    one = trials(tmp_path, logger=LOGGER, storage=kept)
    run(one, 1)

    def interrupted(_):
        raise error

    with pytest.raises(type(error)), one.book.kept(interrupted) as heard:
        one.book.search.run(one.train, trials=3, told=heard)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.status == status
    assert parent.data.tags["safeguards.study.trials"] == "1 complete, 0 pruned, 1 failed"
