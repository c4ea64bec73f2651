"""Every YAML in conf/ is loaded, built and run for two batches, in the way its first lines say."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines import search
from pipelines.data.adult import SCHEMA
from pipelines.train import main
from safeguards import Outcome, verdicts
from safeguards.drift import page
from tests.helpers.children import GROUP_SECONDS
from tests.helpers.launch import launch

CONF = Path(__file__).parents[1] / "conf"
SEARCH = CONF / "search.yaml"
ADULT = {"train": CONF / "train_adult.yaml", "search": CONF / "search_adult.yaml"}
CARD = CONF / "card.yaml"  # read by tests/card/test_stated.py
POLICY = CONF / "policy.yaml"  # read by tests/gate/test_policy.py
SAFEGUARDS = sorted(CONF.glob("safeguards/*.yaml"))
OVERLAYS = sorted([*CONF.glob("deepspeed/*.yaml"), *CONF.glob("strategy/*.yaml")])
TWO_BATCHES = [
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=2",
    "--trainer.num_sanity_val_steps=0",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
IN_MEMORY = ["--trainer.logger=false", "--trainer.enable_checkpointing=false"]
JUDGED = {Outcome.PASS, Outcome.WARN, Outcome.FAIL, Outcome.INCONCLUSIVE}


def name(path):
    return path.relative_to(CONF).as_posix()


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Nothing in conf/ may depend on the folder it is used from, and what it writes goes to that folder."""
    monkeypatch.setattr(sys, "argv", ["train"])
    monkeypatch.chdir(tmp_path)


def fit(*arguments):
    trainer = main(["fit", f"--config={CONF / 'train.yaml'}", *arguments, *TWO_BATCHES]).trainer
    assert trainer.global_step == 2
    return [(verdict.safeguard, verdict.measure, str(verdict.outcome)) for verdict in verdicts(trainer)]


def asked(*callbacks):
    return sum(len(callback["init_args"]["limits"]) for callback in callbacks)


def test_every_file_is_of_a_kind_that_is_run_here():
    assert {*CONF.rglob("*.yaml"), *CONF.rglob("*.yml")} == {
        CONF / "train.yaml",
        SEARCH,
        *ADULT.values(),
        CARD,
        POLICY,
        CONF / "retrain.yaml",  # tests/pipelines/test_retrain.py runs it, and what it names
        CONF / "audit.yaml",  # tests/pipelines/test_audit.py runs it
        CONF / "review.yaml",  # tests/pipelines/test_review.py runs it
        CONF / "schedule.yaml",  # read by tests/pipelines/test_schedule.py
        *CONF.glob("scans/*.yaml"),
        *SAFEGUARDS,
        *OVERLAYS,
    }
    assert SAFEGUARDS
    assert OVERLAYS


def test_the_training_run_as_it_stands(tmp_path):
    found = fit()
    wanted = asked(*yaml.safe_load((CONF / "train.yaml").read_text())["trainer"]["callbacks"])
    assert len(found) == wanted >= 4
    assert {outcome for _, _, outcome in found} <= JUDGED
    assert (tmp_path / "mlflow.db").is_file()
    assert len(list(tmp_path.glob("safeguards_runs/safeguards/*/verdicts.jsonl"))) == 1


def without_charts(monkeypatch):
    """Evidently draws for the run as it stands; for every other that is half of the time."""

    def draw(*_):
        raise ValueError("not drawn here")

    monkeypatch.setattr(page, "_evidently", draw)


@pytest.mark.parametrize("path", SAFEGUARDS, ids=name)
def test_a_safeguard_is_added_to_those_of_the_run(path, monkeypatch):
    without_charts(monkeypatch)
    before = asked(*yaml.safe_load((CONF / "train.yaml").read_text())["trainer"]["callbacks"])
    found = fit(f"--trainer.callbacks+={path}", *IN_MEMORY)
    assert len(found) == before + asked(yaml.safe_load(path.read_text()))
    assert {outcome for _, _, outcome in found} <= JUDGED


def test_the_search_as_it_stands_trains_a_trial(tmp_path, capsys):
    """The values that it tries first, in a process of its own; 64 rows decide nothing, which may win here."""
    callbacks = yaml.safe_load((CONF / "train.yaml").read_text())["trainer"]["callbacks"]
    (drift,) = [one["init_args"] for one in callbacks if one["class_path"] == "safeguards.DriftReport"]
    drift["report"] = False  # the run as it stands draws one
    short = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 2, "logger": False, "callbacks": callbacks}
    (tmp_path / "short.yaml").write_text(yaml.safe_dump({"trainer": short}))
    over = f"--train=[{CONF / 'train.yaml'}, {tmp_path / 'short.yaml'}]"
    code = search.main([f"--config={SEARCH}", over, "--trials=1"])
    told = capsys.readouterr().out
    assert (code, "1 trials: 1 trained to the end, 0 pruned, 0 failed; 1 feasible" in told) == (0, True), told
    (tried,) = yaml.safe_load(SEARCH.read_text())["enqueue"]
    (file,) = tmp_path.glob("safeguards_runs/search/diabetes/trial-0000/config.yaml")
    model = yaml.safe_load(file.read_text())["model"]["init_args"]
    assert {f"model.init_args.{name}": value for name, value in model.items()}.items() >= tried.items()
    assert (tmp_path / "search.db").is_file()


@pytest.fixture
def census(tmp_path):
    """A file in the form of the Adult census, with drawn values."""
    draw, n = np.random.default_rng(0), 600
    names = {name: draw.choice(["a", "b"], n) for name, kind in SCHEMA.items() if kind == "category"}
    numbers = {name: draw.normal(size=n) for name, kind in SCHEMA.items() if kind == "number"}
    own = {"income": ["<=50K", ">50K"], "sex": ["Female", "Male"], "split": ["train", "test"]}
    table = {**names, **numbers, **{name: draw.choice(values, n) for name, values in own.items()}}
    pd.DataFrame(table).to_csv(tmp_path / "adult.csv", index=False)
    return tmp_path / "adult.csv"


def test_the_training_run_on_adult_judges_both_limits(census):
    own = [f"--config={ADULT['train']}", f"--data.init_args.path={census}"]
    trainer = main(["fit", *own, *TWO_BATCHES, "--trainer.logger=false"]).trainer
    found = {(verdict.safeguard, verdict.measure) for verdict in verdicts(trainer)}
    assert found == {("fairness", "demographic_parity_difference"), ("adversarial", "robust_accuracy")}


def test_the_search_on_adult_fits_its_training_run(census, tmp_path, capsys):
    """Every edge of its space parses, under ZeRO-1; no trial is begun."""
    (tmp_path / "path.yaml").write_text(yaml.safe_dump({"data": {"init_args": {"path": str(census)}}}))
    named = [CONF / name for name in yaml.safe_load(ADULT["search"].read_text())["train"]]
    assert named == [ADULT["train"], CONF / "deepspeed/zero1.yaml"]
    files = ", ".join(map(str, [*named, tmp_path / "path.yaml"]))
    code = search.main([f"--config={ADULT['search']}", f"--train=[{files}]", "--trials=0"])
    assert (code, capsys.readouterr().out.startswith("0 trials:")) == (4, True)


def fit_with_each(overlays):
    """Runs on both processes."""
    sys.argv = ["train"]
    without_charts(pytest.MonkeyPatch())
    short = f"--trainer.strategy.init_args.timeout={GROUP_SECONDS}"  # their own minutes outlast the test
    return {overlay: fit(f"--config={CONF / overlay}", short, *IN_MEMORY) for overlay in overlays}


def test_every_overlay_trains_two_processes_to_the_same_verdicts():
    first, second = launch(f"{__file__}:fit_with_each", world=2, overlays=[name(p) for p in OVERLAYS])
    assert set(first.value) == {name(path) for path in OVERLAYS}
    assert first.value == second.value
    assert all({outcome for _, _, outcome in found} <= JUDGED for found in first.value.values())
