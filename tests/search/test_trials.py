"""What each trial trains, where it lies, and that every edge of a space is read before the first."""

import pytest

from safeguards.search import Space, check_edges
from tests.search.ran import run, told_by_hand, trials


def test_each_trains_the_whole_configuration_with_its_values_and_reports(tmp_path, monkeypatch):
    seen = told_by_hand(monkeypatch)
    one = trials(tmp_path)
    result = run(one, 2)
    for given in seen:
        assert given["model"] == {"class_path": "Net", "init_args": {"width": 4}}
        assert given["trainer"]["enable_progress_bar"] is False
        (reporter,) = given["trainer"]["callbacks"]
        assert reporter["class_path"] == "safeguards.search.TrialReporter"
        asked = reporter["init_args"]
        assert (asked["objectives"], asked["constraints"]) == (["accuracy"], ["toy/gap"])
        assert asked["parameters"] == {name: given[name] for name in asked["parameters"]}
        assert {"rate", "kind"} <= set(asked["parameters"])
    assert one.job["trainer"]["callbacks"][0]["init_args"].get("parameters") is None
    assert one.text(result) == f"{result.text()}\ntrial 1: {tmp_path / 'trial-0001' / 'config.yaml'}"
    assert (tmp_path / "trial-0001" / "config.yaml").is_file()


def test_the_callbacks_of_the_training_run_stay_before_the_reporter(tmp_path):
    own = {"class_path": "Own", "init_args": {}}
    job = trials(tmp_path, trainer={"devices": 1, "callbacks": [own], "logger": False}).job
    assert [one["class_path"] for one in job["trainer"]["callbacks"]] == ["Own", "safeguards.search.TrialReporter"]


def test_every_edge_is_read(tmp_path):
    seen = []
    space = Space.read({"model.width": {"type": "int", "low": 1, "high": 3}})
    check_edges({"model": {"width": 2}}, space, lambda files: seen.append(files[0].read_text()))
    assert sorted(seen) == ["model:\n  width: 1\n", "model:\n  width: 3\n"]


def test_what_does_not_parse_is_told_by_the_reader():
    def refuses(_):
        raise SystemExit(2)

    with pytest.raises(SystemExit, match="2"):
        check_edges({}, Space.read({"a": {"type": "int", "low": 1, "high": 3}}), refuses)
