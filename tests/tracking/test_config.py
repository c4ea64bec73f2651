"""The configuration of a command-line job, as an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning.cli
import yaml

from safeguards.tracking import MLflowTracker, SaveConfig
from tests.tracking import jobs

CANARY = "c4naryV4lue"


def train(folder: Path, logger: Any) -> Any:
    defaults = {
        "logger": logger,
        "max_epochs": 1,
        "limit_train_batches": 1,
        "limit_val_batches": 0,
        "accelerator": "cpu",
        "default_root_dir": str(folder),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return pytorch_lightning.cli.LightningCLI(
        jobs.Net,
        save_config_callback=SaveConfig,
        trainer_defaults=defaults,
        args=["fit", f"--model.db_password={CANARY}", "--model.lr=0.25"],
    )


def test_the_configuration_is_kept_without_secrets(here: Path) -> None:
    tracker = {"class_path": "safeguards.tracking.MLflowTracker", "init_args": {"experiment_name": "cli"}}
    cli = train(here, tracker)
    made = cli.trainer.logger
    assert isinstance(made, MLflowTracker)
    kept = Path(made.describe()["artifacts"].removeprefix("file://"), "config.yaml").read_text()
    assert CANARY not in kept
    config = yaml.safe_load(kept)
    assert config["model"] == {"lr": 0.25, "db_password": "[redacted]"}
    assert config["trainer"]["logger"]["init_args"]["experiment_name"] == "cli"
    assert CANARY.encode() not in (here / "mlflow.db").read_bytes()


def test_without_a_logger_it_goes_to_the_root_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, False)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["model"]["db_password"] == "[redacted]"


def test_the_room_has_no_other_names() -> None:
    import safeguards.tracking

    with pytest.raises(AttributeError, match="no attribute 'SaveConfigs'"):
        _ = safeguards.tracking.SaveConfigs
