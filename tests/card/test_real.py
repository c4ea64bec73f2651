"""A card of a run that safeguards really judged: what they say in their details is what the card draws."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from safeguards import (
    AdversarialEvaluation,
    BatchFields,
    DriftReport,
    FairnessCheck,
    Limit,
    OverfittingGuard,
    ThreatModel,
    verdicts,
)
from safeguards.card import Evidence, evidence_of, lint_card, model_card
from safeguards.card.content import content_of
from tests.card.records import record
from tests.helpers.markup import Parsed
from tests.helpers.toys import trainer

FIELDS = BatchFields(inputs="x", target="y", groups={"sex": "sex"}, row_id="row")
ROWS = 400


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, _: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch["x"]), batch["y"])

    def validation_step(self, batch: Any, _: int) -> dict[str, Tensor]:
        return {"logits": self(batch["x"])}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)


def loader(seed: int, shift: float = 0.0) -> DataLoader[Any]:
    x = torch.rand(ROWS, 3, generator=torch.Generator().manual_seed(seed)) + shift
    rows = [
        {"x": row, "y": int(row[0] > 0.5 + shift), "sex": "fm"[place % 2], "row": place} for place, row in enumerate(x)
    ]
    return DataLoader(rows, batch_size=100)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Two epochs under the four safeguards, on validation rows that moved."""
    torch.manual_seed(0)
    guards = [
        OverfittingGuard(fields=FIELDS, limits={"generalization_gap": Limit(at_most=0.5)}),
        FairnessCheck(fields=FIELDS, limits={"worst_group_accuracy": Limit(at_least=0.1)}),
        AdversarialEvaluation(
            fields=FIELDS,
            threat=ThreatModel(norm="inf", eps=0.1, clip=None),
            eps_curve=(0.5, 1.0),
            limits={"robust_accuracy": Limit(at_least=0.1)},
            samples=100,
        ),
        DriftReport(
            fields=FIELDS,
            reference="train",
            columns=["a", "b", "c"],
            report=False,
            limits={"drifted_share": Limit(at_most=0.2)},
        ),
    ]
    job = trainer(tmp_path_factory.mktemp("real"), *guards)
    job.fit(Net(), loader(0), loader(1, shift=0.7))
    return evidence_of(record(verdicts=tuple(verdicts(job))))


@pytest.fixture(scope="module")
def seen(judged: Evidence) -> Parsed:
    page = model_card(judged)
    assert lint_card(page, judged) == []
    return Parsed(page)


def test_every_drawing_is_there(seen: Parsed) -> None:
    drawn = {str(one["aria-label"]).partition(".")[0] for one in seen.of("svg")}
    rates = {"accuracy", "selection rate", "true positive rate", "false positive rate"}
    assert drawn == rates | {
        "Robust accuracy over eps",
        "Drift by column",
        "The measure over training",
        "Cost by safeguard",
    }


def test_groups_eps_and_columns_are_named(seen: Parsed) -> None:
    groups = seen.text.partition("Rates by group with exact intervals")[2].partition("Under attack")[0]
    assert "sex=f 200 " in groups
    assert "sex=m 200 " in groups
    attacked = seen.text.partition("Accuracy by eps eps Accuracy")[2].partition("Whether the attack")[0]
    assert " 0.05 " in attacked
    assert " 0.1 " in attacked
    columns = seen.text.partition("Columns against the reference")[2].partition("Over training")[0]
    assert all(f" {name} drifted " in columns for name in "abc")


def test_the_intervals_of_groups_are_those_that_the_safeguard_judged_by(judged: Evidence) -> None:
    """The worst of them is bounded by the lowest of both ends."""
    (found,) = content_of(judged.record, None).groups
    (rate,) = [one for one in found.rates if one.name == "accuracy"]
    lows, highs = zip(*((judged.value(bar.low), judged.value(bar.high)) for _, bar in rate.bars), strict=True)
    assert found.judged.verdict.measure == "worst_group_accuracy"
    assert found.judged.verdict.interval == pytest.approx((min(lows), min(highs)), abs=1e-9)
