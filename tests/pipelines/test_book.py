"""A search is kept where its trainings are kept; trials are told by hand."""

import sys
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient

from pipelines.search import main
from safeguards.core.errors import TrialFailed
from safeguards.search import Ending, Torchrun

LOGGER = {"class_path": "safeguards.tracking.MLflowTracker", "init_args": {"experiment_name": "toy"}}
TRAINING = {
    "model": {"class_path": "TabularNet", "init_args": {"width": 4}},
    "data": {"class_path": "DiabetesStudy"},
    "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 1},
}
SEARCH = {
    "train": ["train.yaml"],
    "space": {"model.init_args.learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}},
    "objectives": {"val_accuracy": "maximize"},
    "storage": "journal:study.log",
}


@pytest.fixture
def written(monkeypatch, tmp_path):
    """The loggers of the configurations that were trained; the second trial crashes."""
    seen = []

    def run(self, arguments, folder, prune):
        (file,) = arguments
        seen.append(yaml.safe_load(Path(file.removeprefix("--config=")).read_text())["trainer"]["logger"])
        if len(seen) == 2:
            raise TrialFailed("a process was killed")
        return Ending(state="complete", values={"val_accuracy": 0.5}, violations={})

    monkeypatch.setattr(Torchrun, "run", run)
    monkeypatch.setattr(sys, "argv", ["search"])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return seen


def search(folder, logger, trials, **more):
    training = {**TRAINING, "trainer": {**TRAINING["trainer"], "logger": logger}}
    (folder / "train.yaml").write_text(yaml.safe_dump(training))
    (folder / "search.yaml").write_text(yaml.safe_dump({**SEARCH, "trials": trials, **more}))
    return main([f"--config={folder / 'search.yaml'}"])


def test_a_study_goes_on_in_one_run_above_those_of_its_trials(written, tmp_path):
    logger = {**LOGGER, "init_args": {**LOGGER["init_args"], "tags": {"team": "a"}}}
    assert search(tmp_path, logger, 2) == 0
    assert search(tmp_path, logger, 3) == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    numbers = sorted(run.data.tags["safeguards.trial"] for run in runs if run is not parent)
    assert numbers == ["0", "1", "2"]
    assert parent.data.tags["safeguards.study.trials"] == "2 complete, 0 pruned, 1 failed"
    assert parent.info.status == "FINISHED"
    kept = {file.path for file in client.list_artifacts(parent.info.run_id, "study")}
    assert kept == {"study/history.png", "study/result.txt"}
    identity = parent.data.tags["safeguards.study"]
    assert [one["init_args"]["tags"] for one in written] == [
        {"team": "a", "safeguards.study": identity, "safeguards.trial": str(number)} for number in range(3)
    ]


@pytest.mark.parametrize("logger", [False, {"class_path": "CSVLogger", "init_args": {"save_dir": "x"}}])
def test_trainings_that_are_kept_elsewhere_make_no_store(written, tmp_path, logger):
    assert search(tmp_path, logger, 1) == 0
    assert not (tmp_path / "mlflow.db").exists()
    assert "tags" not in str(written[0])


def test_a_store_that_is_away_costs_the_search_nothing(written, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert search(tmp_path, [LOGGER], 1) == 0
    assert len([record for record in caplog.records if "tracking failed" in record.getMessage()]) == 1


def test_the_best_is_trained_again_and_its_page_joins_the_study(written, tmp_path, capsys):
    """The second training of all crashes: it is the first of the other seeds."""
    assert search(tmp_path, LOGGER, 1, sensitivity=2) == 0
    told = capsys.readouterr().out
    assert "trial 0 keeps every limit with each of 2 seeds" in told
    assert "not told by seed 1: a process was killed" in told
    page = tmp_path / "safeguards_runs/search/search/again-0000/sensitivity.html"
    assert "Sensitivity of trial 0 of search" in page.read_text()
    configurations = sorted(page.parent.glob("trial-*/config.yaml"))
    assert [yaml.safe_load(one.read_text())["seed_everything"] for one in configurations[:2]] == [1, 2]
    assert len(configurations) == 4
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    (study,) = [run for run in parents if run.info.run_name == "search"]
    assert len(parents) == 2
    assert "study/sensitivity.html" in {file.path for file in client.list_artifacts(study.info.run_id, "study")}
    assert search(tmp_path, LOGGER, 1, sensitivity=2) == 0
    assert len(written) == 5, "what has been trained is not trained again"
