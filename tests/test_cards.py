"""Every Python block of every card and of docs/ runs as it stands, the blocks of a page in order in one place.

Given is what nobody would put into a card: ``model``, ``train`` and ``val``, whose batches are dicts of x (three
numbers from 0 to 1), y (class 0 or 1), sex, age_group and row_id; and a working directory with an empty database of
MLflow's, whose tables take seconds to make. A trial of a search ends at once, with a value that follows from its
arguments, in place of minutes under torchrun. What an installation tells MLflow is told.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from mlflow.models.evaluation import evaluator_registry
from torch import Tensor, nn
from torch.utils.data import DataLoader

from safeguards import Limit, Outcome, Safeguard, verdicts
from safeguards.evaluation import SafeguardsEvaluator
from safeguards.search import Ending, Torchrun
from safeguards.testing import FIELDS, check_safeguard

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted({*ROOT.glob("docs/**/*.md"), *ROOT.glob("safeguards/**/README.md")})
NOT_JUDGED = (Outcome.ERROR, Outcome.NOT_EVALUATED)
SEARCHED = {"fairness/demographic_parity_difference": -0.1, "adversarial/robust_accuracy": -0.1}


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self(batch["x"]), batch["y"])

    def validation_step(self, batch: Any) -> dict[str, Tensor]:
        return {"logits": self(batch["x"])}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader(seed: int) -> DataLoader[Any]:
    x = torch.rand(120, 3, generator=torch.Generator().manual_seed(seed))
    rows = [
        {"x": row, "y": int(row[0] > 0.5), "sex": "fm"[i % 2], "age_group": "young" if i % 3 else "old", "row_id": i}
        for i, row in enumerate(x)
    ]
    return DataLoader(rows, batch_size=60)  # type: ignore[arg-type]


def ends_at_once(self: Torchrun, arguments: Sequence[str], folder: Path, prune: Any) -> Ending:
    values = dict(argument.removeprefix("--").split("=") for argument in arguments)
    return Ending(state="complete", values={"val_accuracy": 1 - float(values["rate"])}, violations=SEARCHED)


@pytest.fixture
def given(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(Torchrun, "run", ends_at_once)
    monkeypatch.setitem(evaluator_registry._model_evaluation_registry._registry, "safeguards", SafeguardsEvaluator)
    return {"model": Model(), "train": loader(0), "val": loader(1)}


def run(page: Path, names: dict[str, Any]) -> dict[str, Any]:
    for number, block in enumerate(blocks(page), 1):
        exec(compile(block, f"{page.relative_to(ROOT)}, block {number}", "exec"), names)
    return names


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.filterwarnings("ignore")
def test_every_block_runs_and_what_it_makes_works(page: Path, given: dict[str, Any], tmp_path: Path) -> None:
    names = run(page, given)
    for name, works in {"trainer": judges, "PredictedBalance": keeps_the_contract, "search": finds}.items():
        if name in names:
            works(names, tmp_path)


def judges(names: dict[str, Any], _: Path) -> None:
    """Of several processes a trainer is only made here: tests/deepspeed trains with them."""
    trainer = names["trainer"]
    if trainer.world_size > 1:
        return
    trainer.fit_loop.max_epochs = 1
    trainer.fit(names["model"], names["train"], names["val"])
    guards = {callback.label for callback in trainer.callbacks if isinstance(callback, Safeguard)}
    assert guards == {verdict.safeguard for verdict in verdicts(trainer)} != set()
    assert [verdict for verdict in verdicts(trainer) if verdict.outcome in NOT_JUDGED] == []


def keeps_the_contract(names: dict[str, Any], root: Path) -> None:
    limits = {"largest_class_share": Limit(at_most=0.999)}
    check_safeguard(lambda: names["PredictedBalance"](fields=FIELDS, limits=limits), root)


def finds(names: dict[str, Any], root: Path) -> None:
    assert len(names["search"].result().best) == 1
    assert len(names["found"].seeds) == 5
    assert "<html" in (root / "sensitivity.html").read_text()
