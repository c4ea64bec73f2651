"""What a fit ends with is stored whole, whatever the strategy had split."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from safeguards import BatchFields, ConfigurationError
from safeguards.gate import StoredModel, load_model
from safeguards.retraining import KeepModel
from tests.helpers.launch import launch
from tests.helpers.toys import PAIR, loader, trainer
from tests.helpers.toys import rows as toy_rows

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
NET = "pipelines.models.TabularNet"


def fitted(folder: Path, **options: Any) -> Any:
    from pipelines.models import TabularNet

    def rows() -> Any:
        return torch.utils.data.DataLoader([{"inputs": x, "target": y} for x, y in toy_rows()], batch_size=16)

    torch.manual_seed(0)
    module = TabularNet(features=4, width=8, dropout=0.0)
    fields = BatchFields(inputs="inputs", target="target")
    run = trainer(folder, KeepModel(folder=folder, fields=fields), max_epochs=1, **options)
    run.fit(module, rows(), rows())
    return module


def test_the_model_that_comes_out_is_the_one_that_was_trained(tmp_path: Path) -> None:
    module = fitted(tmp_path).eval()
    found = load_model(tmp_path / "model", allowed=[NET])
    x = torch.randn(5, 4)
    assert torch.equal(found(x), module(x))
    assert json.loads((tmp_path / "kept.json").read_text()) == {"tracking_run": None}
    assert StoredModel.read(tmp_path / "model").example is not None


def test_what_a_command_line_adds_to_the_hyperparameters_is_not_stored(tmp_path: Path) -> None:
    from pytorch_lightning.core.mixins.hparams_mixin import _given_hyperparameters_context

    added = {"_class_path": NET, "features": 4, "width": 8, "dropout": 0.0, "linked": 3}
    with _given_hyperparameters_context(added, "pytorch_lightning.cli.instantiate_module"):
        fitted(tmp_path)
    assert StoredModel.read(tmp_path / "model").arguments == {"features": 4, "width": 8, "dropout": 0.0}


def test_without_validation_rows_there_is_no_example(tmp_path: Path) -> None:
    from tests.helpers.toys import Net

    with pytest.raises(Exception, match="no validation rows to take an example from; give it a val"):
        trainer(tmp_path, KeepModel(folder=tmp_path, fields=PAIR), max_epochs=1).fit(Net(), loader())
    assert not (tmp_path / "kept.json").exists()


def test_it_needs_a_folder() -> None:
    with pytest.raises(ConfigurationError, match="expected the folder"):
        KeepModel(folder="", fields=PAIR)


def partitioned(folder: str) -> list[float]:
    """Runs on both processes under ZeRO-3; the answer of the live module, which only all of them can give together."""
    from safeguards.deepspeed import DeepSpeedCPUStrategy

    module = fitted(Path(folder), devices=WORLD, strategy=DeepSpeedCPUStrategy(stage=3))
    from safeguards.deepspeed.weights import full_state_dict

    whole = full_state_dict(module)
    return [float(value.double().sum()) for value in whole.values()]


def test_weights_in_parts_are_stored_whole(tmp_path: Path) -> None:
    first, second = launch(f"{__file__}:partitioned", world=2, folder=str(tmp_path))
    state = load_model(tmp_path / "model", allowed=[NET]).state_dict()
    assert first.value == second.value == [float(value.double().sum()) for value in state.values()]
