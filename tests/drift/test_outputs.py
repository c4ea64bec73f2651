"""``outputs_of``: what a submodule gives is compared as columns of its own, and predictions stay the model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from safeguards import DriftReport, Outcome, Verdict, verdicts
from safeguards.core.intervals import alpha_of_look
from tests.drift.test_guard import FIELDS, LIMITS, Deep, N, fitted, last, rows, standings, trainer


def guard(outputs_of: str, **options: Any) -> DriftReport:
    asked = {"reference": "train", "fields": FIELDS, "limits": LIMITS, "report": False}
    return DriftReport(outputs_of=outputs_of, **(asked | options))


def sides() -> tuple[TensorDataset, TensorDataset]:
    return rows(0), rows(1, shift=1.5)


def distances(verdict: Verdict, prefix: str) -> dict[str, float]:
    return {name: c["distance"] for name, c in verdict.details["columns"].items() if name.startswith(prefix)}


def by_hand(then: Tensor, now: Tensor, of: str) -> dict[str, float]:
    """Kolmogorov and Smirnov's distance of every column."""
    pairs = zip(then.round(decimals=4).T, now.round(decimals=4).T, strict=True)
    return {f"{of} {i}": float(stats.ks_2samp(a, b).statistic) for i, (a, b) in enumerate(pairs)}


def test_an_embedding_is_compared_beside_the_predictions_of_the_model(tmp_path: Path) -> None:
    module, (train, validation) = Deep(), sides()
    verdict = fitted(tmp_path, guard("encoder"), train, validation, module)
    with torch.no_grad():
        then, now = (module.encoder(side.tensors[0]) for side in (train, validation))
        said = [module.head(side).argmax(1) for side in (then, now)]
    assert distances(verdict, "encoder") == pytest.approx(by_hand(then, now, "encoder"), abs=2e-3)
    assert standings(verdict)["encoder 3"] == "stable"
    shares = [torch.bincount(side, minlength=3) / N for side in said]
    assert distances(verdict, "predicted class")["predicted class"] == pytest.approx(
        float((shares[0] - shares[1]).abs().sum() / 2), abs=1e-3
    )
    assert verdict.details["notes"] == []
    parts = {"inputs", "outputs", "predictions"}
    assert verdict.details["spent"] == {name: {"look": 1, "alpha": alpha_of_look(0.05 / 3, 1)} for name in parts}


def test_the_step_s_own_logits_are_the_predictions(tmp_path: Path) -> None:
    class Returns(Deep):
        def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> Any:
            return {"logits": self(batch[0])}

    module = Returns()
    found = fitted(tmp_path, guard("encoder"), *sides(), module)
    assert {"encoder 0", "predicted class", "feature 0"} <= set(standings(found))
    training, validation, asked = 10, 10, 10  # batches of 256
    assert module.forwards == training + validation + asked


def test_channels_are_pooled_over_space(tmp_path: Path) -> None:
    class Convolves(Deep):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.seen = self.conv(x)
            return super().forward(self.seen.flatten(1)[:, :4])

    module, (train, validation) = Convolves(), (rows(0, shape=(1, 4, 4)), rows(1, shape=(1, 4, 4)))
    validation.tensors[0].add_(1)
    found = fitted(tmp_path, guard("conv"), train, validation, module)
    with torch.no_grad():
        then, now = (module.conv(side.tensors[0]).mean((2, 3)) for side in (train, validation))
    assert distances(found, "conv") == pytest.approx(by_hand(then, now, "conv"), abs=2e-3)
    assert {"input mean", "predicted class"} <= set(standings(found))


def test_a_submodule_that_gives_what_the_model_says_is_compared_once_and_saves_a_forward(tmp_path: Path) -> None:
    module, watch = Deep(), guard("head")
    run = trainer(tmp_path, watch, max_epochs=3)
    train, validation = (DataLoader(side, batch_size=256) for side in sides())
    run.fit(module, train, validation)
    for verdict in verdicts(run):
        assert {name for name in standings(verdict) if "feature" not in name} == {"predicted class", "predicted score"}
        assert verdict.details["notes"] == ["the output of 'head' is not compared: it is what the model says"]
    each = 10  # batches: a training step, a validation step and a training row's forward, three times; one forward more
    assert module.forwards == 3 * 3 * each + each
    assert verdicts(run)[0].details["columns"] == verdicts(run)[-1].details["columns"]


@pytest.mark.parametrize("name", ["", None])
def test_the_module_itself_gives_predictions_alone(tmp_path: Path, name: str | None) -> None:
    found = fitted(tmp_path, guard(name), *sides(), Deep())  # type: ignore[arg-type]
    assert {n for n in standings(found) if "feature" not in n} == {"predicted class", "predicted score"}
    assert found.details["notes"] == []
    assert found.details["spent"]["inputs"]["alpha"] == alpha_of_look(0.05 / 2, 1)


def test_a_submodule_that_runs_twice_in_a_step_is_an_error(tmp_path: Path) -> None:
    class Twice(Deep):
        def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
            self(self.encoder(batch[0])[:, :4])

    found = fitted(tmp_path, guard("encoder"), *sides(), Twice())
    assert found.outcome is Outcome.ERROR
    assert "outputs_of='encoder' gave 2 outputs with rows [256, 256] in one step: expected 1 with 256" in found.reason


def test_of_many_numbers_some_are_compared_and_it_says_so(tmp_path: Path) -> None:
    class Wide(Deep):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = nn.Linear(4, 100), nn.Linear(100, 3)

    found = fitted(tmp_path, guard("encoder"), *sides(), Wide())
    assert len(distances(found, "encoder")) == 32
    assert "'encoder' gives 100 numbers a row: 32 of them, evenly spread, are compared" in found.reason


def test_outputs_are_compared_where_the_model_s_are_no_logits(tmp_path: Path) -> None:
    class Maps(Deep):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :, None]

        def training_step(self, batch: Any, _: int) -> Tensor:
            return self(batch[0]).sum()

    found = fitted(tmp_path, guard("encoder"), *sides(), Maps())
    assert "predictions are not compared: cannot apply" in found.reason
    assert len(distances(found, "encoder")) == 5
    assert "predicted class" not in standings(found)


def test_a_table_as_reference_knows_no_outputs(tmp_path: Path) -> None:
    import pandas as pd

    columns = ["a", "b", "c", "d"]
    table = pd.DataFrame(rows(0).tensors[0].numpy(), columns=columns)
    found = fitted(tmp_path, guard("encoder", reference=table, columns=columns), *sides(), Deep())
    assert set(standings(found)) == set(columns)
    assert "the output of 'encoder' is not compared: the reference is a table" in found.reason


def test_what_one_fit_found_of_a_submodule_is_not_carried_into_the_next_fit(tmp_path: Path) -> None:
    class Scaled(Deep):
        def forward(self, x: Tensor) -> Tensor:
            return 3 * super().forward(x).flip(1)

    watch = guard("head")
    assert "head 0" not in standings(fitted(tmp_path, watch, *sides(), Deep()))
    assert "head 0" in standings(fitted(tmp_path, watch, *sides(), Scaled()))


def test_outputs_that_move_with_the_size_of_the_batch_alone_have_not_drifted(tmp_path: Path) -> None:
    class Noisy(Deep):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = Unit()

    class Unit(nn.Module):
        """Says 1 of every row, as a batch of one size gives it or as one of another does."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 5) + (2.0**-22 if len(x) == 100 else 0)

    run = trainer(tmp_path, guard("encoder"))
    train, validation = sides()
    run.fit(Noisy(), DataLoader(train, batch_size=256), DataLoader(validation, batch_size=100))
    assert {standing for name, standing in standings(last(run)).items() if "encoder" in name} == {"stable"}
