"""The test rows of a training run's data, and what a model answers on them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError
from safeguards.retraining.asking import Answers, Attack, answers
from safeguards.retraining.intake import Delivery

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule
    from torch import nn

    from safeguards import BatchFields

__all__ = ["asked_of", "paths_of"]


def asked_of(
    module: nn.Module, training: Mapping[str, Any], fields: BatchFields, attack: Attack | None = None
) -> Answers:
    """What the module answers on the test rows of the data that a training configuration describes.

    Raises `ConfigurationError` without jsonargparse, which makes the data module as LightningCLI does.
    """
    data = _data(training)
    data.prepare_data()
    data.setup("test")
    return answers(module, data.test_dataloader(), fields, attack=attack)


def paths_of(files: Mapping[str, str], delivery: Delivery) -> dict[str, str]:
    """The keys of a training run that ``files`` names, each with the place of its file of the delivery."""
    return {key: str(delivery.folder.resolve() / name) for key, name in files.items()}


def _data(training: Mapping[str, Any]) -> LightningDataModule:
    from pytorch_lightning import LightningDataModule

    try:
        from jsonargparse import ArgumentParser
    except ImportError as error:
        raise ConfigurationError(
            f'{error}: the data of a training run are made by it; pip install "safeguards[pipelines]"'
        ) from error
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data", required=True)
    made = parser.instantiate(parser.parse_object({"data": deepcopy(training["data"])}))
    found: LightningDataModule = made["data"]
    return found
