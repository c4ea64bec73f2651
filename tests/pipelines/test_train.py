import sys
from pathlib import Path

import pytest
import yaml

from pipelines.train import command, main
from safeguards import verdicts

STRATEGY = "safeguards.deepspeed.DeepSpeedCPUStrategy"
BORING = "pytorch_lightning.demos.boring_classes"
PLAIN = {
    "model": {"class_path": "TabularNet", "init_args": {"width": 4}},
    "data": {"class_path": "DiabetesStudy"},
    "trainer": {
        "default_root_dir": "runs",
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "limit_train_batches": 2,
        "max_epochs": 1,
    },
}


@pytest.fixture(autouse=True)
def bare_command_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train"])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(tmp_path):
    def write(name="train.yaml", **keys):
        path = Path(tmp_path, name)
        path.write_text(yaml.safe_dump(keys))
        return f"--config={path}"

    return write


def test_the_model_learns_the_number_of_features_from_the_data(config):
    trained = main(["fit", config(**PLAIN)])
    assert trained.model.network[0].in_features == trained.datamodule.features == 11
    assert trained.trainer.global_step == 2


def test_modules_of_any_origin_train(config):
    whole = PLAIN | {
        "model": {"class_path": f"{BORING}.BoringModel"},
        "data": {"class_path": f"{BORING}.BoringDataModule"},
    }
    assert main(["fit", config(**whole)]).trainer.global_step == 2


def test_a_later_config_goes_over_an_earlier_one(config):
    over = config("over.yaml", trainer={"limit_train_batches": 3})
    assert main(["fit", config(**PLAIN), over]).trainer.global_step == 3


def test_a_callback_of_a_file_is_added_to_those_there_are(config, tmp_path):
    stop = {"class_path": "EarlyStopping", "init_args": {"monitor": "val_loss"}}
    config("more.yaml", class_path="ModelSummary", init_args={"max_depth": 2})
    with_stop = PLAIN | {"trainer": PLAIN["trainer"] | {"callbacks": [stop]}}
    trained = main(["fit", config(**with_stop), f"--trainer.callbacks+={tmp_path / 'more.yaml'}"])
    assert {"EarlyStopping", "ModelSummary"} <= {type(callback).__name__ for callback in trained.trainer.callbacks}


FAIRNESS = {
    "fields": {"inputs": "inputs", "target": "target", "row_id": "row_id", "groups": {"sex": "sex"}},
    "limits": {"worst_group_accuracy": {"at_least": 0.5}},
}


def test_a_safeguard_is_named_by_its_class_alone(config):
    short = {"class_path": "FairnessCheck", "init_args": FAIRNESS}
    trained = main(["fit", config(**PLAIN), config("more.yaml", trainer={"callbacks": [short]})])
    assert [verdict.measure for verdict in verdicts(trained.trainer)] == ["worst_group_accuracy"]


@pytest.mark.parametrize(
    ("reaction", "at_least", "code", "said"),
    [("raise", 1.0, 3, "error: fairness/worst_group_accuracy: "), ("record", 1.0, 0, ""), ("raise", 0.0, 0, "")],
)
def test_the_exit_code_tells_a_violated_limit_from_a_verdict(
    config, monkeypatch, capsys, reaction, at_least, code, said
):
    limits = {"limits": {"worst_group_accuracy": {"at_least": at_least}}, "reaction": reaction}
    callback = {"class_path": "FairnessCheck", "init_args": FAIRNESS | limits}
    more = config("more.yaml", trainer={"callbacks": [callback]})
    monkeypatch.setattr(sys, "argv", ["train", "fit", config(**PLAIN), more])
    assert command() == code
    assert said in capsys.readouterr().err


def test_a_strategy_that_does_not_fit_the_machine_is_told_in_one_line(config, monkeypatch, capsys):
    over = config("over.yaml", trainer={"strategy": {"class_path": STRATEGY, "init_args": {"stage": 4}}})
    monkeypatch.setattr(sys, "argv", ["train", "fit", config(**PLAIN), over])
    with pytest.raises(SystemExit, match="2"):
        command()
    assert "DeepSpeedCPUStrategy(stage=4): expected 1, 2 or 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit": 3}, "FairnessCheck has no option 'limit'; did you mean 'limits'?"),
        ({"fields": {"input": "x"}}, "fields of FairnessCheck has no option 'input'; did you mean 'inputs'?"),
        ({"reaction": "stopp"}, "reaction of FairnessCheck is 'stopp'; expected 'record', 'stop', 'raise'"),
        (
            {"limits": {"worst_group_accuracy": {"atleast": 0}}},
            "Limit has no option 'atleast'; did you mean 'at_least'?",
        ),
        ({"limits": {"worst_accuracy": {"at_least": 0}}}, "no measure 'worst_accuracy': did you mean 'worst_group_acc"),
        ({"positive": -1}, "FairnessCheck(positive=-1): expected a whole number of at least 0"),
    ],
)
def test_a_typo_in_a_safeguard_gives_one_line_too(config, capsys, wrong, said):
    callback = {"class_path": "safeguards.FairnessCheck", "init_args": FAIRNESS | wrong}
    with pytest.raises(SystemExit) as stopped:
        main(["fit", config(**PLAIN), config("more.yaml", trainer={"callbacks": [callback]})])
    told = capsys.readouterr().err
    assert said in told
    assert (stopped.value.code, told.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"model": {"init_args": {"widht": 3}}}, "model: TabularNet has no option 'widht'; did you mean 'width'?"),
        ({"model": {"class_path": "TabularNt"}}, "model: there is no class 'TabularNt'; did you mean 'TabularNet'?"),
        ({"data": {"init_args": {"sed": 3}}}, "data: DiabetesStudy has no option 'sed'; did you mean 'seed'?"),
        ({"trainer": {"max_epoch": 3}}, "there is no key 'trainer.max_epoch'; did you mean 'trainer.max_epochs'?"),
        ({"trainer": {"max_epochs": "many"}}, "trainer.max_epochs: expected int or null, not many"),
    ],
)
def test_a_typo_gives_one_line_with_the_nearest_key(config, capsys, keys, said):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", config(**PLAIN), config("typo.yaml", **keys)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_an_abbreviation_is_no_key(config, capsys):
    with pytest.raises(SystemExit):
        main(["fit", config(**PLAIN), "--trainer.max_epoch=3"])
    assert "did you mean 'trainer.max_epochs'?" in capsys.readouterr().err
