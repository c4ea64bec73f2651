"""The test rows of a training run's data, and what a model answers on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from safeguards.core.batch import select
from safeguards.core.errors import ConfigurationError, DataRefused
from safeguards.retraining.asking import UNLABELLED, Answers, Attack, answers, classes_of, ids_of, refuse_repeated
from safeguards.retraining.intake import Delivery

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule
    from torch import nn

    from safeguards import BatchFields

__all__ = ["asked_of", "paths_of", "refuse_incomparable"]


def asked_of(
    module: nn.Module,
    training: Mapping[str, Any],
    fields: BatchFields,
    attack: Attack | None = None,
    *,
    first_of_each: bool = False,
) -> Answers:
    """What the module answers on the test rows of the data that a training configuration describes, as `answers` does.

    Raises `ConfigurationError` without jsonargparse, which makes the data module as LightningCLI does, and
    `DataRefused` where the data module raises another ``ValueError``: that is how it says that a file is not what it
    can take. Should it be a fault of the module, the text has the line.
    """
    return answers(module, _batches(training), fields, attack=attack, first_of_each=first_of_each)


def refuse_incomparable(training: Mapping[str, Any], fields: BatchFields) -> None:
    """Raises `DataRefused` where a test row has no label, or the row id of another: whatever were trained, it could not
    be compared on those.
    """
    ids: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in _batches(training):
        if fields.row_id is not None:
            ids.append(ids_of(select(batch, fields.row_id, "row_id")))
        if fields.target is not None:
            labels.append(classes_of(select(batch, fields.target, "target")))
    if ids:
        refuse_repeated(torch.cat(ids).numpy())
    if labels:
        _refuse_unlabelled(torch.cat(labels))


def _refuse_unlabelled(labels: Tensor) -> None:
    missing = int((labels == UNLABELLED).sum())
    if missing:
        raise DataRefused(
            f"{missing} of {len(labels)} test rows have no label, so that no two models can be compared on them; "
            "deliver the rows with their labels"
        )


def paths_of(files: Mapping[str, str], delivery: Delivery) -> dict[str, str]:
    """The keys of a training run that ``files`` names, each with the place of its file of the delivery."""
    return {key: str(delivery.folder.resolve() / name) for key, name in files.items()}


def _batches(training: Mapping[str, Any]) -> Iterable[Any]:
    data = _data(training)
    try:
        data.prepare_data()
        data.setup("test")
        found: Iterable[Any] = data.test_dataloader()
    except ConfigurationError:
        raise
    except ValueError as error:
        last = extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        raise DataRefused(f"{type(data).__name__} cannot take the data: {error} ({where})") from error
    return found


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
