"""How a live audit ended, by its verdicts and the book; the steps themselves run in tests/pipelines/test_audit.py."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from safeguards import Moment, Outcome, Verdict
from safeguards.core.errors import DataRefused
from safeguards.retraining import Held, Shelf, Trigger


def judged(outcome: Outcome) -> dict[str, Any]:
    moment = Moment(stage="live", epoch=0, step=0)
    verdict = Verdict(safeguard="live_audit", measure="accuracy", outcome=outcome, reason="0.5 of 0.9", moment=moment)
    return {"model": "record", "verdicts": [verdict.to_dict()]}


def held(folder: Path, **given: Any) -> Held:
    nothing = dict.fromkeys((field.name for field in fields(Held)), None)
    delivery = SimpleNamespace(manifest=SimpleNamespace(fingerprint="week 1"))
    return Held(**{**nothing, "shelf": Shelf(root=folder, model="risk"), "delivery": delivery, **given})


@pytest.mark.parametrize(
    ("outcome", "k", "ended"),
    [
        (Outcome.PASS, 1, "calm"),
        (Outcome.INCONCLUSIVE, 1, "calm"),
        (Outcome.FAIL, 2, "alarm"),
        (Outcome.FAIL, 1, "opened"),
    ],
)
def test_only_a_failure_alarms_and_enough_alarms_open(tmp_path: Path, outcome: Outcome, k: int, ended: str) -> None:
    this, found = held(tmp_path, trigger=Trigger(k=k, n=3)), judged(outcome)
    noted = this.note(found, "job")
    assert noted == {"alarm": ended != "calm", "opened": ended == "opened"}
    assert this.ended(found, noted) == {"ended": ended, "verdicts": [f"  accuracy: {outcome}, 0.5 of 0.9"]}


class Rows(LightningDataModule):
    """Test rows with these ids, all of class 1."""

    def __init__(self, path: str = "old") -> None:
        super().__init__()
        self.path = path

    def test_dataloader(self) -> DataLoader[object]:
        rows = [{"x": torch.tensor([0.0, 1.0]), "y": 1, "id": int(at)} for at in Path(self.path).read_text().split()]
        return DataLoader(rows, batch_size=2)  # type: ignore[arg-type]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The answers on the delivery and before, for the ids in the files of both."""
    module = "safeguards.retraining.auditing"
    reigning = SimpleNamespace(stored=None, record=SimpleNamespace(data={}, config="", digest="a"))
    monkeypatch.setattr(f"{module}.champion", lambda *_: reigning)
    monkeypatch.setattr(f"{module}.load_model", lambda *_, **__: torch.nn.Identity())
    monkeypatch.setattr(f"{module}.lacking", lambda *_: {})
    training = {"data": {"class_path": f"{__name__}.Rows", "init_args": {"path": str(tmp_path / "old")}}}

    def judge(old: str, new: str) -> Any:
        (tmp_path / "old").write_text(old)
        (tmp_path / "new").write_text(new)
        told: dict[str, Any] = {}
        held(
            tmp_path,
            shelf=SimpleNamespace(
                learned_from=lambda _: None, training=lambda _: training, audits=SimpleNamespace(past=list)
            ),
            delivery=SimpleNamespace(folder=tmp_path),
            files={"data.init_args.path": "new"},
            fields={"inputs": "x", "target": "y", "row_id": "id"},
            policy=SimpleNamespace(classes=()),
            look_for=SimpleNamespace(compare=lambda *_, **__: ({}, None), limit=None),
            check=SimpleNamespace(judge=lambda **given: told.update(given) or ()),
            labels=(),
        ).judge(tmp_path)
        return told

    return judge


def test_rows_that_stood_twice_long_ago_are_no_fault_of_the_delivery(asked: Any) -> None:
    told = asked(old="1 2 2 3 2", new="4 5")
    assert (told["before"].ids.tolist(), told["now"].ids.tolist()) == ([1, 2, 3], [4, 5])
    with pytest.raises(DataRefused, match="2 of 4 rows have the row id of another"):
        asked(old="1 2", new="4 5 4 5")
