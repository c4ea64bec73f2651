"""The best trial of a search is trained again beside it, and the page of it joins the run of the search."""

import pytest
import yaml
from mlflow.tracking import MlflowClient

from safeguards.search import Again
from tests.search.ran import run, told_by_hand, trials

LOGGER = {"class_path": "safeguards.tracking.MLflowTracker", "init_args": {"experiment_name": "toy"}}


def test_the_best_is_trained_again_and_its_page_joins_the_study(tmp_path, monkeypatch, kept):
    """The second training of all crashes: it is the first of the other seeds."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    seen = told_by_hand(monkeypatch, crashes={2})

    def found():
        one = trials(tmp_path, logger=LOGGER, storage=kept, seed_everything=7)
        run(one, 1)
        again = Again.of(one, seeds=2, storage=kept)
        return again, again.run(lambda _: None).text()

    again, told = found()
    assert "trial 0 keeps every limit with each of 2 seeds" in told
    assert "not told by seed 8: a process was killed" in told
    assert again.page == tmp_path / "again-0000" / "sensitivity.html"
    assert "Sensitivity of trial 0 of search" in again.page.read_text()
    configurations = [yaml.safe_load(one.read_text()) for one in sorted(again.page.parent.glob("trial-*/config.yaml"))]
    assert [one["seed_everything"] for one in configurations[:2]] == [8, 9]
    assert len(configurations) == len(again.variants)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    (study,) = [run for run in parents if run.info.run_name == "search"]
    assert len(parents) == 2
    assert "study/sensitivity.html" in {file.path for file in client.list_artifacts(study.info.run_id, "study")}
    count = len(seen)
    assert found()[1] == told
    assert len(seen) == count, "what has been trained is not trained again"


@pytest.mark.parametrize(("first", "wanted"), [(None, ["seed 1"]), (True, ["seed 1"]), (41, ["seed 42"])])
def test_seeds_are_counted_from_that_of_the_training_run(tmp_path, monkeypatch, first, wanted):
    told_by_hand(monkeypatch)
    one = trials(tmp_path, seed_everything=first)
    run(one, 1)
    again = Again.of(one, seeds=1, storage=None)
    assert [name for name in again.variants if name.startswith("seed")] == wanted
