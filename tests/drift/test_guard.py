"""The callback in real trainers: tables, tensors, images, files, and a broken model."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from safeguards import BatchFields, DriftReport, Limit, Outcome, Verdict, verdicts
from safeguards.core.errors import ConfigurationError
from safeguards.drift import page
from tests.helpers import toys

FIELDS = BatchFields(inputs=0, target=1)
LIMITS = {"drifted_share": Limit(at_most=0.2)}
N = 2400


class Net(pl.LightningModule):
    def __init__(self, width: int, bias: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(width, 3))
        with torch.no_grad():
            self.net[1].weight.copy_(torch.linspace(-1, 1, 3 * width).reshape(3, width))
            self.net[1].bias.fill_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, _: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
        self(batch[0])

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self(batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.0)


class Deep(Net):
    """An encoder of five units, one of which says the same of every row, and a head."""

    def __init__(self) -> None:
        super().__init__(4)
        torch.manual_seed(0)
        self.net = nn.Sequential()
        self.encoder, self.head = nn.Sequential(nn.Linear(4, 5), nn.Tanh()), nn.Linear(5, 3)
        with torch.no_grad():
            self.encoder[0].weight[3] = 0
        self.forwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += 1
        return self.head(self.encoder(x))


def rows(seed: int, n: int = N, shape: tuple[int, ...] = (4,), shift: float = 0.0) -> TensorDataset:
    drawn = torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))
    drawn[:, 0] += shift
    return TensorDataset(drawn, torch.arange(n) % 3)


class Tables(pl.LightningDataModule):
    """Frames and rows of the same columns; ``shift`` moves column x0 of the split that it names."""

    def __init__(self, **shift: float) -> None:
        super().__init__()
        self.sets = {s: rows(i, shift=shift.get(s, 0.0)) for i, s in enumerate(("train", "validation", "test"))}

    def frame(self, split: str) -> pd.DataFrame:
        return pd.DataFrame(self.sets[split].tensors[0].numpy(), columns=["x0", "x1", "x2", "x3"])

    def train_dataloader(self) -> Any:
        return DataLoader(self.sets["train"], batch_size=128, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.sets["validation"], batch_size=128)

    def test_dataloader(self) -> Any:
        return DataLoader(self.sets["test"], batch_size=128)


def trainer(folder: Path, guard: DriftReport, **options: Any) -> pl.Trainer:
    return toys.trainer(folder, guard, **{"max_epochs": 1, "num_sanity_val_steps": 0, **options})


def last(run: pl.Trainer) -> Verdict:
    return verdicts(run)[-1]


def fitted(folder: Path, guard: DriftReport, train: Any, validation: Any, module: pl.LightningModule) -> Verdict:
    run = trainer(folder, guard)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.fit(module, DataLoader(train, batch_size=256, shuffle=True), DataLoader(validation, batch_size=256))
    return last(run)


def standings(verdict: Verdict) -> dict[str, str]:
    return {name: column["standing"] for name, column in verdict.details["columns"].items()}


def test_tables_of_a_data_module_in_fit_and_in_test(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", limits=LIMITS, fields=FIELDS, report=False)
    run = trainer(tmp_path, guard)
    data = Tables(test=1.5)
    run.fit(Net(4), datamodule=data)
    assert last(run).outcome is Outcome.PASS
    assert set(standings(last(run))) == {"x0", "x1", "x2", "x3", "predicted class", "predicted score"}
    run.test(Net(4), datamodule=data, verbose=False)
    assert (last(run).moment.stage, last(run).outcome) == ("test", Outcome.FAIL)
    expected = stats.ks_2samp(data.frame("train").x0, data.frame("test").x0).statistic
    assert last(run).details["columns"]["x0"]["distance"] == pytest.approx(expected, abs=1e-4)
    assert standings(last(run))["predicted class"] == "drifted"


def test_without_fields_predictions_are_not_compared_and_it_says_so(tmp_path: Path) -> None:
    run = trainer(tmp_path, DriftReport(reference="train", limits=LIMITS, report=False))
    run.validate(Net(4), datamodule=Tables(), verbose=False)
    assert last(run).outcome is Outcome.PASS
    assert "predictions are not compared: fields= is not given" in last(run).reason
    assert set(standings(last(run))) == {"x0", "x1", "x2", "x3"}


def test_tensors_by_name(tmp_path: Path) -> None:
    guard = DriftReport(
        reference="train", columns=["age", "bmi", "bp", "dose"], fields=FIELDS, limits=LIMITS, report=False
    )
    train, validation = rows(0), rows(1, shift=0.8)
    verdict = fitted(tmp_path, guard, train, validation, Net(4))
    found = verdict.details["columns"]
    expected = stats.ks_2samp(train.tensors[0][:, 0], validation.tensors[0][:, 0]).statistic
    assert found["age"]["distance"] == pytest.approx(expected, abs=1e-4)
    assert {name for name, standing in standings(verdict).items() if standing == "drifted"} >= {"age"}
    assert standings(verdict)["bmi"] == "stable"
    assert verdict.n == N


def test_a_feature_that_is_named_as_a_prediction_is_refused(tmp_path: Path) -> None:
    names = ["predicted score", "b", "c", "d"]
    guard = DriftReport(reference="train", columns=names, fields=FIELDS, limits=LIMITS, report=False)
    found = fitted(tmp_path, guard, rows(0, n=300), rows(1, n=300, shift=5.0), Net(4))
    assert found.outcome is Outcome.ERROR
    assert "two columns named 'predicted score': rename one" in found.reason


def test_images_by_their_statistics_and_the_outputs_of_a_submodule(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, outputs_of="net", report=False)
    dark, bright = rows(0, shape=(1, 4, 4)), rows(1, shape=(1, 4, 4))
    bright.tensors[0].add_(3)
    verdict = fitted(tmp_path, guard, dark, bright, Net(16))
    assert verdict.outcome is Outcome.FAIL
    assert standings(verdict)["input mean"] == standings(verdict)["predicted class"] == "drifted"
    assert standings(verdict)["input standard deviation"] != "drifted"


def test_a_file_as_reference(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    pd.DataFrame(rows(0).tensors[0].numpy(), columns=names).to_csv(tmp_path / "then.csv", index=False)
    options: dict[str, Any] = {"fields": FIELDS, "limits": LIMITS, "report": False}
    guard = DriftReport(reference=str(tmp_path / "then.csv"), columns=names, **options)
    verdict = fitted(tmp_path, guard, rows(5), rows(1), Net(4))
    assert verdict.outcome is Outcome.PASS
    assert "the reference is a table, which the model cannot be asked about" in verdict.reason
    unnamed = DriftReport(reference=tmp_path / "then.csv", **options)
    assert "columns= must name the features" in fitted(tmp_path, unnamed, rows(5), rows(1), Net(4)).reason


def test_a_half_written_reference_decides_nothing(tmp_path: Path) -> None:
    Tables().frame("train").to_csv(tmp_path / "then.csv", index=False)
    whole = (tmp_path / "then.csv").read_text()
    cut = whole[: len(whole) // 2]
    (tmp_path / "then.csv").write_text(cut[: cut.rindex(",")])
    run = trainer(tmp_path, DriftReport(reference=tmp_path / "then.csv", limits=LIMITS, report=False))
    run.validate(Net(4), datamodule=Tables(), verbose=False)
    assert last(run).outcome is Outcome.INCONCLUSIVE
    assert "looks half-written" in last(run).reason


def test_a_frame_as_current(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", current=Tables(test=2).frame("test"), limits=LIMITS, report=False)
    run = trainer(tmp_path, guard)
    run.validate(Net(4), datamodule=Tables(), verbose=False)
    assert (last(run).value, last(run).outcome) == (0.25, Outcome.FAIL)


def test_a_table_needs_a_table_to_be_compared_with(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", current=Tables().frame("test"), limits=LIMITS, report=False)
    verdict = fitted(tmp_path, guard, rows(0), rows(1), Net(4))
    assert verdict.outcome is Outcome.ERROR
    assert 'reference="train" has no table' in verdict.reason


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", limits=LIMITS, report=False)
    verdict = fitted(tmp_path, guard, rows(0), rows(1), Net(4))
    assert verdict.outcome is Outcome.ERROR
    assert "give fields=, current=, or a data module with frame(split)" in verdict.reason


def test_a_model_that_says_nan_fails(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False)
    verdict = fitted(tmp_path, guard, rows(0), rows(1), Net(4, bias=math.nan))
    assert verdict.outcome is Outcome.FAIL
    assert f"the outputs of {N} of {N} rows are NaN or infinite" in verdict.reason


def test_few_rows_are_inconclusive_and_not_a_pass(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False)
    verdict = fitted(tmp_path, guard, rows(0), rows(1, n=100), Net(4))
    assert (verdict.outcome, verdict.value, verdict.n) == (Outcome.INCONCLUSIVE, 0.0, 100)
    assert "columns undecided" in verdict.reason


def test_a_model_whose_outputs_are_no_logits_still_has_its_inputs_compared(tmp_path: Path) -> None:
    class Maps(Net):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(len(x), 2, 2)

        def training_step(self, batch: Any, _: int) -> Tensor:
            return self.net(batch[0]).sum()

    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False)
    verdict = fitted(tmp_path, guard, rows(0), rows(1), Maps(4))
    assert verdict.outcome is Outcome.PASS
    assert "predictions are not compared: cannot apply: the outputs are torch.float32" in verdict.reason


def test_several_loaders_are_judged_apart_by_their_rows(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False)
    run = trainer(tmp_path, guard)
    data = Tables()
    loaders = [DataLoader(rows(8), batch_size=256), DataLoader(rows(9, shift=2), batch_size=256)]
    data.val_dataloader = lambda: loaders  # type: ignore[method-assign]
    run.validate(Net(4), datamodule=data, verbose=False)
    first, second = verdicts(run)
    assert (first.outcome, second.outcome) == (Outcome.PASS, Outcome.FAIL)
    assert "feature 0" in standings(first)


def test_the_reference_is_read_once_in_a_fit(tmp_path: Path) -> None:
    data, asked = Tables(), list[str]()
    frame = data.frame
    data.frame = lambda split: asked.append(split) or frame(split)  # type: ignore[func-returns-value, method-assign]
    run = trainer(tmp_path, DriftReport(reference="train", limits=LIMITS, report=False), max_epochs=3)
    run.fit(Net(4), datamodule=data)
    assert (asked.count("train"), asked.count("validation")) == (1, 3)


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Evidently's part is tested with the page; here it is counted."""
    calls: list[int] = []

    def fail(*_: Any) -> str:
        calls.append(1)
        raise ValueError("not here")

    monkeypatch.setattr(page, "_evidently", fail)
    return calls


def test_the_page_is_drawn_once_at_the_end_of_fit(tmp_path: Path, drawing: list[int]) -> None:
    run = trainer(tmp_path, DriftReport(reference="train", limits=LIMITS), max_epochs=3)
    with pytest.warns(UserWarning, match="drift report: the charts are missing: ValueError: not here"):
        run.fit(Net(4), datamodule=Tables())
    assert len(drawing) == 1
    (made,) = tmp_path.rglob("*.html")
    assert last(run).details["page"] == "drift/drift-validate.html"
    assert made.match("safeguards/*/drift/drift-validate.html")
    assert "epoch 2" in made.read_text()


def test_outside_fit_the_page_is_drawn_at_once_and_its_failure_is_told(tmp_path: Path, drawing: list[int]) -> None:
    run = trainer(tmp_path, DriftReport(reference="train", limits=LIMITS))
    run.validate(Net(4), datamodule=Tables(), verbose=False)
    assert len(drawing) == 1
    assert last(run).outcome is Outcome.PASS
    assert "the charts are missing: ValueError: not here" in last(run).reason


def test_no_report_no_page(tmp_path: Path, drawing: list[int]) -> None:
    run = trainer(tmp_path, DriftReport(reference="train", limits=LIMITS, report=False))
    run.fit(Net(4), datamodule=Tables())
    assert not drawing
    assert not list(tmp_path.rglob("*.html"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reference": "tests"}, "reference='tests'"),
        ({"current": "train"}, 'expected "validation"'),
        ({"columns": []}, "columns=\\[\\]"),
        ({"columns": "age"}, "columns='age'"),
        ({"columns": ["a", "a"]}, "expected a list of different names"),
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"min_effect": True}, "min_effect=True"),
        ({"sample": 10}, "sample=10"),
        ({"limits": {"drift_share": Limit(at_most=0.1)}}, "did you mean 'drifted_share'"),
    ],
)
def test_arguments_that_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        DriftReport(**({"reference": "train", "limits": LIMITS} | options))


def test_a_bounded_sample_of_the_reference_is_asked(tmp_path: Path) -> None:
    asked: list[int] = []

    class Counting(Net):
        def forward(self, x: Tensor) -> Tensor:
            asked.append(len(x))
            return super().forward(x)

    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, sample=64, report=False)
    run = trainer(tmp_path, guard)
    run.validate(Counting(4), datamodule=Tables(), verbose=False)
    extra = sum(asked) - 2 * N
    assert extra == 64
    assert last(run).n == 64
    assert np.isfinite(last(run).value or 0)
