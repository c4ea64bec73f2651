"""The steps of a search from YAML; trials are told by hand here, tests/test_configs.py trains one."""

import sys
from pathlib import Path

import pytest
import yaml

from pipelines.search import main
from safeguards.search import Ending, Torchrun

FIELDS = {"inputs": "inputs", "target": "target", "row_id": "row_id"}
GUARDS = [
    {
        "class_path": "FairnessCheck",
        "init_args": {
            "fields": FIELDS | {"groups": {"sex": "sex"}},
            "limits": {"worst_group_accuracy": {"at_least": 0.5}, "demographic_parity_difference": {"at_most": 0.2}},
        },
    },
    {"class_path": "EarlyStopping", "init_args": {"monitor": "val_loss"}},
    {
        "class_path": "safeguards.OverfittingGuard",
        "init_args": {"fields": FIELDS, "name": "gap one", "limits": {"generalization_gap": {"at_most": 0.2}}},
    },
    {
        "class_path": "safeguards.OverfittingGuard",
        "init_args": {"fields": FIELDS, "name": "gap one", "limits": {"generalization_gap": {"at_most": 0.1}}},
    },
]
LIMITS = [
    "fairness/worst_group_accuracy",
    "fairness/demographic_parity_difference",
    "gap_20_one/generalization_gap",
    "gap_20_one.2/generalization_gap",
]
TRAINING = {
    "model": {"class_path": "TabularNet", "init_args": {"width": 4}},
    "data": {"class_path": "DiabetesStudy"},
    "trainer": {"accelerator": "cpu", "devices": 2, "max_epochs": 1, "callbacks": GUARDS},
}
SEARCH = {
    "train": ["train.yaml"],
    "space": {
        "model.init_args.learning_rate": {"type": "float", "low": "1e-4", "high": 0.1, "log": True},
        "trainer.callbacks.0.init_args.min_support": {"type": "int", "low": 5, "high": 9},
    },
    "objectives": {"val_accuracy": "maximize"},
    "storage": "journal:study.log",
    "trials": 2,
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["search"])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trained(monkeypatch):
    """What each trial was given; ``endings`` by number, or else one that keeps every limit."""
    seen, endings = [], {}

    def run(self, arguments, folder, prune):
        (file,) = arguments
        seen.append((self, yaml.safe_load(Path(file.removeprefix("--config=")).read_text()), folder))
        number = len(seen) - 1
        kept = Ending(
            state="complete", values={"val_accuracy": 0.5 + number / 10}, violations=dict.fromkeys(LIMITS, -0.1)
        )
        return endings.get(number, kept)

    monkeypatch.setattr(Torchrun, "run", run)
    return seen, endings


def search(folder, training=None, **keys):
    """The exit code of a search by these files, from another folder than theirs."""
    place = folder / "conf"
    place.mkdir(exist_ok=True)
    (place / "train.yaml").write_text(yaml.safe_dump(training or TRAINING, sort_keys=False))
    (place / "search.yaml").write_text(yaml.safe_dump(SEARCH | keys))
    return main([f"--config={place / 'search.yaml'}"])


def test_each_trial_trains_the_whole_configuration_with_its_values_and_reports(trained, tmp_path, capsys):
    assert search(tmp_path) == 0
    seen, _ = trained
    for job, given, folder in seen:
        assert (job.command, job.processes) == (("-m", "pipelines.train", "fit"), 2)
        assert 1e-4 <= given["model"]["init_args"]["learning_rate"] <= 0.1
        assert given["model"]["init_args"]["width"] == 4
        *guards, reporter = given["trainer"]["callbacks"]
        assert 5 <= guards[0]["init_args"]["min_support"] <= 9
        assert reporter["class_path"] == "safeguards.search.TrialReporter"
        assert reporter["init_args"]["objectives"] == ["val_accuracy"]
        assert reporter["init_args"]["constraints"] == LIMITS
        assert reporter["init_args"]["parameters"] == {
            "model.init_args.learning_rate": given["model"]["init_args"]["learning_rate"],
            "trainer.callbacks.0.init_args.min_support": guards[0]["init_args"]["min_support"],
        }
        assert folder.parent == Path("safeguards_runs/search/search")
    told = capsys.readouterr().out
    assert "2 trials: 2 trained to the end, 0 pruned, 0 failed; 2 feasible\nbest feasible:\n  trial 1: val_acc" in told
    assert told.endswith("trial 1: safeguards_runs/search/search/trial-0001/config.yaml\n")


def test_the_written_configuration_is_one_that_trains(trained, tmp_path):
    from pipelines.train import read

    search(tmp_path, trials=1)
    _, given, folder = trained[0][0]
    again = read([folder / "config.yaml"])
    asked, found = (whole["trainer"]["callbacks"].pop()["init_args"] for whole in (given, again))
    assert again == given
    assert found["policy"] == asked["policy"] | {"unmeasured": 1000.0}


def test_no_feasible_trial_has_an_exit_code_of_its_own(trained, tmp_path, capsys):
    seen, endings = trained
    endings |= {n: Ending(state="complete", values={"val_accuracy": 0.5}, violations={LIMITS[0]: 0.25}) for n in (0, 1)}
    assert search(tmp_path, constraints=LIMITS[:1]) == 4
    told = capsys.readouterr().out
    assert "no trial is feasible; the closest:\n  trial 0: val_accuracy 0.5; misses fairness/worst_group_acc" in told
    assert seen[0][1]["trainer"]["callbacks"][-1]["init_args"]["constraints"] == LIMITS[:1]


def test_a_second_call_goes_on(trained, tmp_path):
    search(tmp_path)
    assert search(tmp_path) == 0
    assert len(trained[0]) == 2
    search(tmp_path, trials=3, enqueue=[{"model.init_args.learning_rate": 0.05}])
    assert trained[0][2][1]["model"]["init_args"]["learning_rate"] == 0.05


def test_another_study_may_tell_what_to_try_first(trained, tmp_path):
    search(tmp_path)
    best = trained[0][1][1]["model"]["init_args"]["learning_rate"]
    search(tmp_path, name="next", learn_from="search", trials=1)
    assert trained[0][2][1]["model"]["init_args"]["learning_rate"] == best


def test_the_best_is_trained_again_under_other_seeds(trained, tmp_path, capsys):
    assert search(tmp_path, trials=1, sensitivity=2) == 0
    told = capsys.readouterr().out
    page = "safeguards_runs/search/search/again-0000/sensitivity.html"
    assert "trial 0 keeps every limit with each of 3 seeds" in told
    assert told.endswith(f"sensitivity: {page}\n")
    assert Path(page).is_file()
    assert [given["seed_everything"] for _, given, _ in trained[0][1:3]] == [1, 2]


def test_the_storage_of_the_environment_stays_out_of_the_trial(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEGUARDS_SEARCH_STORAGE", f"sqlite:///{tmp_path / 'x.db'}")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    assert search(tmp_path, storage=None, trials=1) == 0
    assert (tmp_path / "x.db").is_file()
    assert search(tmp_path, storage="journal:another.log", trials=1) == 0
    for given in [job.environment for job, *_ in trained[0]]:
        assert "PATH" in given
        assert not {"SAFEGUARDS_SEARCH_STORAGE", "PGPASSWORD"} & set(given)
    assert len(trained[0]) == 2


RATE = {"type": "float", "low": 0.1, "high": 0.2}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"space": {"model.init_args.widht": RATE}}, "TabularNet has no option 'widht'; did you mean 'width'?"),
        ({"space": {"trainer.max_epoch": RATE}}, "no key 'max_epoch'; did you mean 'trainer.max_epochs'?"),
        ({"space": {"modle.init_args.width": RATE}}, "no key 'modle.init_args.width'; did you mean 'model.init_args"),
        ({"space": {"trainer.max_epochs": RATE}}, "trainer.max_epochs: expected int or null, not 0.1"),
        ({"space": {"trainer.callbacks.9.init_args.min_support": RATE}}, "expected a number from 0 to 4"),
        ({"space": {"a": {"type": "flot"}}}, "type 'flot' of 'a': expected float, int, categorical"),
        ({"constraints": ["fairness/worst_group_acuracy"]}, "did you mean 'fairness/worst_group_accuracy'?"),
        ({"objectives": {"val_accuracy": "max"}}, "objectives"),
        ({"trails": 3}, "trails"),
        ({"sampler": "tpee"}, "did you mean 'tpe'?"),
        ({"train": ["nothing.yaml"]}, "there is no file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line_before_the_first_trial(trained, tmp_path, capsys, monkeypatch, keys, said):
    from pipelines import search as module

    monkeypatch.setattr(module, "main", lambda: search(tmp_path, **keys))
    assert module.command() == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not trained[0]
    assert not Path("study.log").exists()


def test_a_number_of_processes_that_nobody_knows_is_refused(trained, tmp_path):
    from safeguards.core.errors import ConfigurationError

    training = TRAINING | {"trainer": TRAINING["trainer"] | {"devices": "auto"}}
    with pytest.raises(ConfigurationError, match=r"trainer\.devices is 'auto'"):
        search(tmp_path, training)
