"""The gap of two logged metrics: of one epoch, of all batches, of all processes, or an error that says why not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from safeguards import Limit, Moment, Outcome, OverfittingGuard, verdicts
from safeguards.core.errors import ConfigurationError
from safeguards.overfitting.logged import LoggedGap
from tests.overfitting.nets import Logs, fit, rows, trainer


def guard(**options: Any) -> OverfittingGuard:
    return OverfittingGuard(
        **{
            "train": "train_loss",
            "validation": "val_loss",
            "limits": {"generalization_gap": Limit(at_most=20)},
            **options,
        }
    )


def test_each_epoch_is_judged_by_its_own_two_numbers(tmp_path: Path) -> None:
    found = fit(tmp_path, guard(), module=Logs(), max_epochs=4)
    assert [v.moment.epoch for v in found] == [0, 1, 2, 3]
    assert [v.value for v in found] == pytest.approx([Logs.gap(epoch) for epoch in range(4)])
    assert [v.outcome for v in found] == [Outcome.PASS, Outcome.PASS, Outcome.FAIL, Outcome.FAIL]
    assert {v.details["source"] for v in found} == {"logged"}
    assert "as logged" in found[0].reason
    assert found[0].interval is None
    assert found[-1].details["slope_per_look"] == pytest.approx(9)


@pytest.mark.parametrize("name", ["train_loss", "train_loss_epoch"])
def test_both_names_of_a_forked_metric_are_the_epochs(tmp_path: Path, name: str) -> None:
    assert fit(tmp_path, guard(train=name), module=Logs())[0].value == pytest.approx(Logs.gap(0))


def test_the_last_validation_of_an_epoch_counts(tmp_path: Path) -> None:
    class Twice(Logs):
        validations = 0

        def on_validation_epoch_end(self) -> None:
            self.validations += 1

        def log_validation(self, value: float) -> None:
            super().log_validation(float(self.validations))

    found = fit(tmp_path, guard(), module=Twice(), val_check_interval=2, max_epochs=2, num_sanity_val_steps=0)
    assert [v.value for v in found] == pytest.approx([1 - 1.5, 3 - 2.5])


def test_an_epoch_without_validation_gets_no_verdict_instead_of_a_stale_one(tmp_path: Path) -> None:
    *found, end = fit(tmp_path, guard(), module=Logs(), max_epochs=5, check_val_every_n_epoch=2)
    assert [v.moment.epoch for v in found] == [1, 3]
    assert end.outcome is Outcome.NOT_EVALUATED
    assert [v.value for v in found] == pytest.approx([Logs.gap(1), Logs.gap(3)])


def test_a_validation_before_the_fit_or_of_another_epoch_does_not_count(tmp_path: Path) -> None:
    watch, data = guard(), DataLoader(rows(64), 16)
    runner, module = trainer(tmp_path, watch, max_epochs=2, check_val_every_n_epoch=2, num_sanity_val_steps=0), Logs()
    runner.validate(module, data, verbose=False)
    runner.fit(module, data, data)
    assert [v.moment.epoch for v in verdicts(runner) if v.moment.stage == "train_epoch"] == [1]
    source = LoggedGap(train="train_loss", validation="val_loss", still=False)
    source.note(SimpleNamespace(current_epoch=3, global_step=12, callback_metrics={}, _results=None))
    assert source.examine(None, SimpleNamespace(moment=Moment(stage="train_epoch", epoch=4, step=16))) is None


def test_a_validation_of_the_fit_before_does_not_count(tmp_path: Path) -> None:
    watch, data = guard(), DataLoader(rows(64), 16)
    for every, outcome in ((1, Outcome.PASS), (2, Outcome.NOT_EVALUATED)):
        runner = trainer(tmp_path, watch, check_val_every_n_epoch=every, num_sanity_val_steps=0)
        runner.fit(Logs(), data, data)
        assert [v.outcome for v in verdicts(runner)] == [outcome]


def test_a_validation_of_a_fit_that_crashed_does_not_count(tmp_path: Path) -> None:
    class Crashes(Logs):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            if index == 3:
                raise RuntimeError("out of memory")
            return super().training_step(batch, index)

    watch, data = guard(), DataLoader(rows(64), 16)
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer(tmp_path, watch, val_check_interval=2).fit(Crashes(), data, data)
    runner = trainer(tmp_path, watch, check_val_every_n_epoch=2, num_sanity_val_steps=0)
    runner.fit(Logs(), data, data)
    assert [v.outcome for v in verdicts(runner)] == [Outcome.NOT_EVALUATED]


def test_a_fit_without_any_validation_is_not_evaluated(tmp_path: Path) -> None:
    found = fit(tmp_path, guard(), module=Logs(), max_epochs=2, check_val_every_n_epoch=5)
    assert [v.outcome for v in found] == [Outcome.NOT_EVALUATED]


class StepOnly(Logs):
    def log_train(self, value: float) -> None:
        self.log("train_loss", value, on_step=True, on_epoch=False)


class AtTheEnd(Logs):
    """Logs in ``on_train_epoch_end``, which runs after callbacks have judged."""

    def log_train(self, value: float) -> None:
        self.seen = value

    def on_train_epoch_end(self) -> None:
        self.log("train_loss", self.seen)


class EveryOther(Logs):
    def log_validation(self, value: float) -> None:
        if self.current_epoch == 0:
            self.log("val_loss", value)


@pytest.mark.parametrize(
    ("module", "options", "last_reason"),
    [
        (Logs, {"train": "train_los"}, "'train_los' was not logged; available: ['train_loss', 'train_loss_epoch']"),
        (Logs, {"validation": "val"}, "'val' was not logged; available: ['val_loss']"),
        (StepOnly, {}, "'train_loss' is the value of one batch: log it with on_epoch=True"),
        (Logs, {"train": "train_loss_step"}, "'train_loss_step' is the value of one batch"),
        (AtTheEnd, {}, "'train_loss' holds an older epoch's value: log it in training_step"),
        (EveryOther, {}, "'val_loss' holds an older epoch's value"),
    ],
)
def test_a_metric_that_is_not_this_epochs_is_an_error(
    tmp_path: Path, module: type[Logs], options: dict, last_reason: str
) -> None:
    last = fit(tmp_path, guard(**options), module=module(), max_epochs=2)[-1]
    assert last.outcome is Outcome.ERROR
    assert last_reason in last.reason


def test_a_metric_that_is_nan_fails(tmp_path: Path) -> None:
    class Diverges(Logs):
        def log_train(self, value: float) -> None:
            super().log_train(float("nan"))

    found = fit(tmp_path, guard(), module=Diverges())
    assert found[0].outcome is Outcome.FAIL
    assert "train_loss is nan" in found[0].reason


def test_one_name_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give the names of both"):
        guard(validation=None)


def test_of_several_loaders_one_is_named(tmp_path: Path) -> None:
    loaders = [DataLoader(rows(16), batch_size=16), DataLoader(rows(16), batch_size=16)]

    class Two(Logs):
        def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
            self.log("val_loss", 5.0 + dataloader_idx)

    found = fit(tmp_path, guard(validation="val_loss/dataloader_idx_1"), module=Two(), validation=loaders)
    assert found[0].value == pytest.approx(6 - 1.5)


def test_reading_leaves_the_metrics_as_they_were(tmp_path: Path) -> None:
    """The same fit without the guard ends with the same logged numbers and weights."""
    ends = []
    for callbacks in ([], [guard()]):
        torch.manual_seed(0)
        module, runner = Logs(), trainer(tmp_path, *callbacks, max_epochs=2)
        runner.fit(module, DataLoader(rows(64), batch_size=16), DataLoader(rows(32), batch_size=16))
        metrics = {name: float(v) for name, v in runner.callback_metrics.items() if not name.startswith("safeguard/")}
        ends.append((metrics, [p.tolist() for p in module.parameters()]))
    assert ends[0] == ends[1]
