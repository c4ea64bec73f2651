"""What a challenger is trained with: the configuration of the run, the two callbacks of a retraining, and no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from safeguards import ConfigurationError
from safeguards.retraining import trained
from safeguards.search import Ending, Torchrun

OWN = {"class_path": "Own", "init_args": {}}
GIVEN = {"model": {"class_path": "Net"}, "trainer": {"devices": [0, 1], "callbacks": [OWN], "max_epochs": 3}}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each start of processes, with the configuration that they get; none is started."""
    starts: list[Any] = []

    def ends(job: Torchrun, arguments: list[str], folder: Path, prune: Any) -> Ending:
        starts.append((job, yaml.safe_load(Path(arguments[0].removeprefix("--config=")).read_text()), prune(1, 0.5)))
        return Ending(state="pruned", reason="the gap was 0.5", values={"val_loss": 0.25})

    monkeypatch.setattr(Torchrun, "run", ends)
    return starts


def train(folder: Path, configuration: Any = GIVEN) -> Any:
    return trained(
        configuration, folder, command=("train.py",), objective="val_loss", fields={"inputs": "x"}, seconds=9.0
    )


def test_the_run_is_trained_as_it_is_configured_and_keeps_its_model(
    tmp_path: Path, seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFEGUARDS_WEBHOOK", "https://hooks.example/secret")
    assert train(tmp_path) == {"state": "pruned", "reason": "the gap was 0.5", "values": {"val_loss": 0.25}}
    ((job, whole, pruned),) = seen
    assert (job.command, job.processes, job.seconds, pruned) == (("train.py",), 2, 9.0, False)
    assert "SAFEGUARDS_WEBHOOK" not in job.environment
    assert (whole["model"], whole["trainer"]["max_epochs"]) == ({"class_path": "Net"}, 3)
    assert whole["trainer"]["default_root_dir"] == str(tmp_path)
    assert whole["trainer"]["callbacks"] == [
        OWN,
        {"class_path": "safeguards.search.TrialReporter", "init_args": {"objectives": ["val_loss"]}},
        {
            "class_path": "safeguards.retraining.KeepModel",
            "init_args": {"folder": str(tmp_path), "fields": {"inputs": "x"}},
        },
    ]
    assert GIVEN["trainer"] == {"devices": [0, 1], "callbacks": [OWN], "max_epochs": 3}


def test_a_run_without_callbacks_gets_them_too(tmp_path: Path, seen: list[Any]) -> None:
    train(tmp_path, {"trainer": {"devices": 1, "callbacks": None}})
    assert len(seen[0][1]["trainer"]["callbacks"]) == 2


def test_processes_that_nobody_knows_start_none(tmp_path: Path, seen: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"trainer\.devices is 'auto'"):
        train(tmp_path, {"trainer": {"devices": "auto", "callbacks": []}})
    assert seen == []
