"""Secrets on the command lines and in the environment of the pipelines: none of them is printed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipelines import audit, deliver, retrain, schedule, search, train
from pipelines.typos import one_line

CONF = Path(__file__).parents[2] / "conf"
CANARY = "c4naryV4lue"
PASSWORD = "c4naryPassw0rd"  # known by its place alone, the other by the name of its variable
ADDRESS = f"http://me:{PASSWORD}@127.0.0.1:9/x"


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (retrain, [f"--config={CONF / 'retrain.yaml'}", f"--seconds={ADDRESS}"]),
        (retrain, [f"--config={CONF / 'retrain.yaml'}", f"--seconds={CANARY}"]),
        (retrain, [f"--config={CONF / 'retrain.yaml'}", f"--{ADDRESS}=x"]),
        (retrain, [f"--config={CONF / 'retrain.yaml'}", f"--policy={ADDRESS}"]),
        (audit, [f"--config={CONF / 'audit.yaml'}", f"--tracking_uri={ADDRESS}"]),
        (search, [f"--config={CONF / 'search.yaml'}", f"--trials={ADDRESS}"]),
        (search, [f"--config={CONF / 'search.yaml'}", f"--train=[{ADDRESS}]"]),
        (search, [f"--config={CONF / 'search.yaml'}", f"--constraints=[{ADDRESS}]"]),
        (schedule, [f"--config={CONF / 'schedule.yaml'}", f"--timezone={ADDRESS}"]),
        (train, ["fit", f"--config={CONF / 'train.yaml'}", f"--trainer.max_epochs={ADDRESS}"]),
        (train, ["fit", f"--config={CONF / 'train.yaml'}", f"--model.init_args.width={CANARY}"]),
    ],
)
def test_a_wrong_argument_is_told_without_the_secret_that_it_holds(
    module: ModuleType,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_PASSWORD", CANARY)
    monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
    try:
        code = module.command()
    except SystemExit as ended:
        code = ended.code
    captured = capfd.readouterr()
    assert code == (1 if "tracking_uri" in arguments[-1] else 2)  # a store that is away may be there later
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert CANARY not in captured.out + captured.err
    assert PASSWORD not in captured.out + captured.err


def test_a_delivery_that_is_refused_is_told_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_PASSWORD", CANARY)
    assert deliver.main([CANARY]) == 6
    assert CANARY not in capfd.readouterr().err


def test_a_value_is_hidden_by_the_name_of_its_key() -> None:
    message = "Parser key \"model.init_args.password\":\n  Expected a <class 'int'>\n  Given value: hunter2"
    assert one_line(message) == "model.init_args.password: expected int, not [redacted]"
    assert "hunter2" not in one_line(message.replace("Given value", "another form.\n Got value"))
