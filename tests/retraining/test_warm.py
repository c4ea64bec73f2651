"""The search inside a retraining: warm, resumed after kill -9, and what it finds is what is trained and recorded."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeguards import ConfigurationError
from safeguards.retraining import SearchFor, searched
from safeguards.retraining.warm import values_at
from safeguards.search import Ending, Torchrun

RATE = "model.init_args.learning_rate"
SPACE = {RATE: {"type": "float", "low": 0.001, "high": 0.1, "log": True}}
ASKED = SearchFor(space=SPACE, objective={"val_loss": "minimize"}, trials=3)
FAIRNESS = {
    "class_path": "safeguards.FairnessCheck",
    "init_args": {
        "fields": {"inputs": "inputs", "target": "target", "groups": {"stroke": "stroke"}},
        "limits": {"worst_group_accuracy": {"at_least": 0.5}},
    },
}
JOB = {
    "model": {"class_path": "pipelines.models.ImageNet8", "init_args": {"learning_rate": 0.01}},
    "data": {"class_path": "pipelines.data.Digits"},
    "trainer": {"devices": 1, "callbacks": [FAIRNESS], "logger": False},
}
BEST = 0.02


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Trials end at once: the loss is the distance from the best rate; those above 0.05 break the limit."""
    rates: list[float] = []

    def ends(_: Torchrun, arguments: Sequence[str], folder: Path, prune: Callable[[int, float], bool]) -> Ending:
        job = yaml.safe_load(Path(arguments[0].removeprefix("--config=")).read_text())
        assert [one["class_path"] for one in job["trainer"]["callbacks"]][1:] == ["safeguards.search.TrialReporter"]
        rate = job["model"]["init_args"]["learning_rate"]
        rates.append(rate)
        return Ending(
            state="complete",
            values={"val_loss": abs(rate - BEST)},
            violations={"fairness/worst_group_accuracy": rate - 0.05},
        )

    monkeypatch.setattr(Torchrun, "run", ends)
    return rates


def search(folder: Path, name: str = "first", asked: SearchFor = ASKED, **more: Any) -> Any:
    given = {"command": ("train.py",), "read": lambda files: files[0].read_text(), **more}
    return searched(asked, JOB, folder, storage=f"sqlite:///{folder / 'searches.db'}", name=name, **given)


def test_the_champions_values_come_first_and_then_those_of_its_search(tmp_path: Path, trained: list[float]) -> None:
    champion = {**JOB, "model": {"init_args": {"learning_rate": BEST}}}
    found = search(tmp_path, champion=champion)
    assert (trained[0], found["parameters"], found["trials"]) == (BEST, {RATE: BEST}, 3)
    del trained[:]
    again = search(tmp_path, "second", champion={}, earlier="first")
    assert trained[0] == BEST
    assert again["tried_first"] == {"champion": {}, "study": "first"}


def test_a_value_that_the_space_lacks_is_not_tried(tmp_path: Path, trained: list[float]) -> None:
    found = search(tmp_path, champion={**JOB, "model": {"init_args": {"learning_rate": 5.0}}})
    assert found["tried_first"]["champion"] == {}
    assert 5.0 not in trained


def test_where_nothing_is_feasible_the_run_stays_as_it_is(tmp_path: Path, trained: list[float]) -> None:
    high = {RATE: {"type": "float", "low": 0.06, "high": 0.1}}
    found = search(tmp_path, asked=SearchFor(space=high, objective={"val_loss": "minimize"}, trials=2))
    assert (found["best"], found["parameters"]) == (None, {})


def test_killed_in_a_trial_it_goes_on_with_those_it_has(
    tmp_path: Path, trained: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Torchrun.run
    child = os.fork()
    if child == 0:
        try:

            def dies(*given: Any) -> Ending:
                if len(trained) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                return whole(*given)

            monkeypatch.setattr(Torchrun, "run", dies)
            search(tmp_path)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    found = search(tmp_path)
    assert len(trained) == 1  # two were there, the third is trained again
    assert found["trials"] == 3
    assert search(tmp_path) == found
    assert len(trained) == 1


def test_a_key_that_nothing_has_is_told_before_the_first_trial(tmp_path: Path, trained: list[float]) -> None:
    def refuses(files: Sequence[Path]) -> None:
        assert "learning_rat:" in files[0].read_text()
        raise SystemExit(2)

    wrong = {"model.init_args.learning_rat": SPACE[RATE]}
    with pytest.raises(SystemExit, match="2"):
        search(tmp_path, asked=SearchFor(space=wrong, objective={"val_loss": "minimize"}), read=refuses)
    assert trained == []
    assert not (tmp_path / "searches.db").exists()


@pytest.mark.parametrize("seconds", [None, 7.0])
def test_trials_train_by_the_given_command_without_the_address_of_the_hook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float | None
) -> None:
    seen: list[Torchrun] = []

    def ends(job: Torchrun, *_: object) -> Ending:
        seen.append(job)
        return Ending(state="complete", values={"val_loss": 1.0}, violations={"fairness/worst_group_accuracy": -1.0})

    monkeypatch.setattr(Torchrun, "run", ends)
    monkeypatch.setenv("SAFEGUARDS_WEBHOOK", "https://hooks.example/secret")
    search(tmp_path, asked=SearchFor(space=SPACE, objective={"val_loss": "minimize"}, trials=1, seconds=seconds))
    assert [(one.command, one.processes, one.seconds) for one in seen] == [(("train.py",), 1, seconds)]
    assert "SAFEGUARDS_WEBHOOK" not in seen[0].environment
    assert "PATH" in seen[0].environment


def test_values_are_found_at_their_keys() -> None:
    nested = {"a": {"b": [{"c": 1}, {"c": 2}]}, "d": None}
    assert values_at(nested, dict.fromkeys(["a.b.1.c", "a.b.7.c", "a.x", "d", "a.b.c"])) == {"a.b.1.c": 2}


@pytest.mark.parametrize("wrong", [{"space": {}}, {"objective": {}}, {"trials": 0}, {"objective": {"a": 1, "b": 2}}])
def test_a_search_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SearchFor(**{"space": SPACE, "objective": {"val_loss": "minimize"}, **wrong})
