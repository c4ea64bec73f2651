"""The steps of a retraining that need no training; the whole of it runs in tests/pipelines."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from safeguards.core.errors import DataRefused, RegistryError, SafeguardError
from safeguards.gate import History, Record, Ruling
from safeguards.retraining import Attack, Job, Kept, Round
from safeguards.retraining.intake import Delivery, Manifest

TRAINING = {"seed_everything": 7, "model": {"rate": 0.1}, "data": {"path": "old", "test_path": None}}


def one(folder: Path, **given: Any) -> Round:
    """A round of which only what is ``given`` is there."""
    nothing = dict.fromkeys((field.name for field in fields(Round)), None)
    return Round(**{**nothing, "job": Job(folder / "job", key={}), "training": TRAINING, **given})


def test_a_training_gets_the_files_of_the_delivery_and_what_a_search_found(tmp_path: Path) -> None:
    delivery = Delivery(folder=tmp_path, manifest=Manifest(files=()))
    this = one(tmp_path, delivery=delivery, files={"data.path": "rows.csv"})
    data = {"path": str(tmp_path / "rows.csv"), "test_path": None}
    assert this.configured({}) == {**TRAINING, "data": data}
    found = {"parameters": {"model.rate": 0.3}, "study": "a"}
    assert this.configured(found) == {**TRAINING, "data": data, "model": {"rate": 0.3}}


def test_without_a_champion_nobody_reigns(tmp_path: Path) -> None:
    this = one(tmp_path)
    this.job.step("meet", lambda _: {"champion": None})
    assert this.reigning is None


@pytest.mark.parametrize(("given", "kept"), [(7, {"training": 7}), (True, {}), (None, {})])
def test_only_seeds_that_are_numbers_are_recorded(tmp_path: Path, given: object, kept: dict[str, int]) -> None:
    assert one(tmp_path, training={"seed_everything": given})._seeds == kept
    attack = Attack(threat=None, seed=3)  # type: ignore[arg-type]
    assert one(tmp_path, training={"seed_everything": given}, attack=attack)._seeds == {**kept, "attack": 3}


class Late(LightningDataModule):
    """Three test rows, the labels of two of which are not there yet."""

    def test_dataloader(self) -> DataLoader[object]:
        labels = [1.0, -1.0, math.nan]
        return DataLoader([{"x": torch.zeros(2), "y": y, "id": at} for at, y in enumerate(labels)], batch_size=2)  # type: ignore[arg-type]


class Twice(LightningDataModule):
    """Three test rows, two of which have one row id."""

    def test_dataloader(self) -> DataLoader[object]:
        return DataLoader([{"x": torch.zeros(2), "y": 1, "id": at} for at in (1, 2, 1)], batch_size=2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "why"),
    [("Late", "2 of 3 test rows have no label"), ("Twice", "1 of 3 rows have the row id of another")],
)
def test_rows_without_labels_or_ids_of_their_own_are_refused_before_anything_is_trained(
    tmp_path: Path, data: str, why: str
) -> None:
    fields = {"inputs": "x", "target": "y", "row_id": "id"}
    given = {"delivery": Delivery(folder=tmp_path, manifest=Manifest(files=())), "files": {}, "fields": fields}
    training = {"data": {"class_path": f"{__name__}.{data}"}}
    this = one(tmp_path, training=training, look_for=SimpleNamespace(limit=None), **given)
    this.job.step("meet", lambda _: {"champion": None})
    with pytest.raises(DataRefused, match=why):
        this.look(tmp_path, forced=True, when="new data")


@pytest.fixture
def ruled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The answer of the step `rule`, where the gate says this."""
    monkeypatch.setattr(Kept, "read", lambda _: SimpleNamespace(run=None))
    this = one(tmp_path)
    for step in ("train", "seal"):
        this.job.step(step, lambda _: {})

    def ruling(*reasons: str) -> Any:
        said = Ruling(admitted=not reasons, reasons=reasons, waived=(), version=None if reasons else 2)
        monkeypatch.setattr("safeguards.retraining.round.promote", lambda *_, **__: said)
        return this.rule("new data")

    return ruling


def test_a_ruling_is_told_in_plain_values(ruled: Any) -> None:
    assert ruled() == {"admitted": True, "reasons": [], "waived": [], "version": 2}
    said = ruled("tracking: not synced", "paired/accuracy: worse")
    assert (said["admitted"], said["reasons"]) == (False, ["tracking: not synced", "paired/accuracy: worse"])


def test_where_only_the_store_is_missing_the_gate_waits(ruled: Any) -> None:
    with pytest.raises(SafeguardError, match="the gate waits: tracking: not synced; then call this again"):
        ruled("tracking: not synced")


def test_no_card_repeats_the_history_of_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = {
        "when": "2026-11-28T12:00:00+00:00",
        "who": "me",
        "action": "promoted",
        "why": "",
        "before": None,
        "after": 1,
    }
    written = History(entries=(), problems=(), model="other").next(**moves, version=1, record="a" * 64, policy="b" * 64)
    foreign = SimpleNamespace(name="risk", history=lambda: [written.text(None)], home_problems=list, witness=None)
    monkeypatch.setattr(Record, "read", lambda _: SimpleNamespace(tracking_run=None))
    monkeypatch.setattr("safeguards.retraining.round.write_card", lambda *_, **__: None)
    this = one(tmp_path, registry=foreign)
    this.job.step("meet", lambda _: {"champion": None})
    this.job.step("seal", lambda _: {})
    with pytest.raises(RegistryError, match="entry 1 is of the model 'other', not of 'risk'"):
        this.card(tmp_path, {"admitted": False, "reasons": [], "waived": [], "version": None})
