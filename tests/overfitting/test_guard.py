"""What the guard adds to a gap: patience, a trend, memory that survives a resume, and weights that come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from safeguards import Limit, Outcome, OverfittingGuard, verdicts
from safeguards.core.errors import LimitViolated
from tests.overfitting.nets import FIELDS, Logs, Net, fit, rows, trainer


def guard(**options: Any) -> OverfittingGuard:
    given = {"train": "train_loss", "validation": "val_loss", "limits": {"generalization_gap": Limit(at_most=5)}}
    return OverfittingGuard(**{**given, **options})


class Scripted(Logs):
    """Ends epoch e with the e-th of these gaps, over a training loss of 1.5 + e."""

    gaps = (1.0, 9.0, 1.0, 9.0, 9.0, 9.0)

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def log_validation(self, value: float) -> None:
        super().log_validation(1.5 + self.current_epoch + self.gaps[self.current_epoch])

    def on_validation_end(self) -> None:
        self.seen.append(weights(self))


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in module.state_dict().values()]).clone()


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (2, 5), (3, 6), (4, 6)])
def test_training_stops_after_as_many_failing_looks_in_a_row(tmp_path: Path, patience: int, epochs: int) -> None:
    found = fit(tmp_path, guard(patience=patience, reaction="stop"), module=Scripted, max_epochs=6)
    assert len(found) == epochs
    assert [v.outcome is Outcome.FAIL for v in found] == [gap > 5 for gap in Scripted.gaps[:epochs]]
    assert found[1].details["patience"] == f"reacts after {patience} failing looks in a row, 0 before this one"
    if epochs > 2:
        assert found[2].details["patience"].endswith("1 before this one")


def test_looks_outside_training_leave_patience_alone(tmp_path: Path) -> None:
    """Each look of this module's is a FAIL; the second in training stops it, whatever was validated between."""
    watch = guard(patience=2, reaction="stop", fields=FIELDS, limits={"generalization_gap": Limit(at_most=-9)})
    runner = trainer(tmp_path, watch, max_epochs=1)
    data = DataLoader(rows(64), 16), DataLoader(rows(32), 16)
    runner.fit(Net(), *data)
    for _ in range(2):
        runner.validate(Net(), data[1], verbose=False)
    assert watch.memory()["failed"] == 1
    runner.test(Net(), data[1], verbose=False)
    assert watch.memory()["failed"] == 1


def test_patience_holds_back_an_exception_too(tmp_path: Path) -> None:
    with pytest.raises(LimitViolated, match="9 against a limit of at most 5"):
        fit(tmp_path, guard(patience=2, reaction="raise"), module=Scripted, max_epochs=6)


def test_the_trend_is_in_the_verdict(tmp_path: Path) -> None:
    found = fit(tmp_path, guard(), module=Scripted, max_epochs=3)
    assert [v.details["slope_per_look"] for v in found] == [None, pytest.approx(8), pytest.approx(0)]


def test_patience_and_best_weights_survive_a_resume(tmp_path: Path) -> None:
    """Five epochs in one go, or three, a checkpoint, and two more in a new process's place."""
    data = DataLoader(rows(64), 16), DataLoader(rows(32), 16)
    whole = trainer(tmp_path / "whole", guard(patience=2, restore_best=True), max_epochs=5)
    whole.fit(Scripted(), *data)
    first = trainer(tmp_path / "parts", guard(patience=2, restore_best=True), max_epochs=4)
    first.fit(Scripted(), *data)
    first.save_checkpoint(tmp_path / "middle.ckpt")
    torch.load(tmp_path / "middle.ckpt", weights_only=True)
    second = trainer(tmp_path / "parts", guard(patience=2, restore_best=True), max_epochs=5)
    second.fit(Scripted(), *data, ckpt_path=tmp_path / "middle.ckpt")
    (*_, last, _), (*_, resumed, _) = ([v.details for v in verdicts(job)] for job in (whole, second))
    for name in ("patience", "slope_per_look", "looks_in_slope"):
        assert resumed[name] == last[name]
    assert "1 before this one" in last["patience"]
    assert resumed["best_weights"]["epoch"] == last["best_weights"]["epoch"] == 0


def test_memory_that_is_none_is_told_and_left_alone() -> None:
    watch = guard(patience=3)
    watch._patience.count(failed=True)
    before = watch.state_dict()
    for wrong in ({"gaps": {"": ["x"]}}, {"failed": "y"}, {"best": {"evil": 1}}):
        with pytest.warns(UserWarning, match="the checkpoint's state of 'overfitting' is unreadable"):
            watch.load_state_dict({**before, "memory": {**before["memory"], **wrong}})
        assert watch.state_dict() == before


def test_two_guards_do_not_share_memory(tmp_path: Path) -> None:
    runner = trainer(tmp_path, guard(), guard(name="measured", fields=FIELDS), max_epochs=2)
    runner.fit(Scripted(), DataLoader(rows(64), 16), DataLoader(rows(32), 16))
    found = verdicts(runner)
    assert sorted({v.safeguard for v in found}) == ["measured", "overfitting"]
    logged = [v for v in found if v.details["source"] == "logged"]
    assert [v.value for v in logged] == pytest.approx(Scripted.gaps[:2])


@pytest.mark.parametrize("source", ["logged", "measured"])
def test_the_weights_of_the_lowest_validation_loss_come_back(tmp_path: Path, source: str) -> None:
    """The labels of the validation rows are turned round, so that the measured loss only grows."""
    module = Scripted()
    watch = guard(restore_best=True, fields=FIELDS if source == "measured" else None)
    inputs, target = rows(32, seed=1).tensors
    turned = DataLoader(TensorDataset(inputs, 1 - target), batch_size=16)
    *found, end = fit(tmp_path, watch, module=module, validation=turned, max_epochs=5, num_sanity_val_steps=0)
    assert {v.details["source"] for v in found} == {source}
    best = found[-1].details["best_weights"]
    assert end.outcome is Outcome.NOT_EVALUATED
    stage = "train_epoch" if source == "logged" else "validate"
    assert f"this fit ends with were judged earlier, at {stage} epoch {best['epoch']} step {best['step']}" in end.reason
    losses = [v.details["validation_loss"] for v in found]
    assert best["loss"] == min(losses)
    assert best["epoch"] == losses.index(min(losses))
    assert torch.equal(weights(module), module.seen[best["epoch"]])
    kept = list(tmp_path.glob("safeguards/*/best-*"))
    assert [path.name for path in kept] == [best["file"]]
    assert torch.load(kept[0], weights_only=True).keys() == module.state_dict().keys()


def test_without_being_asked_no_weights_change_and_none_are_kept(tmp_path: Path) -> None:
    module = Scripted()
    fit(tmp_path, guard(), module=module, max_epochs=3)
    assert torch.equal(weights(module), module.seen[-1])
    assert not list(tmp_path.glob("safeguards/*/best-*"))


def test_best_weights_need_weights_that_rest_since_validation(tmp_path: Path) -> None:
    found = fit(tmp_path, guard(restore_best=True), module=Scripted, val_check_interval=3)
    assert found[0].outcome is Outcome.ERROR
    assert "the weights have moved since the validation at step 3" in found[0].reason
    assert fit(tmp_path, guard(), module=Scripted, val_check_interval=3)[0].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("harm", "words"), [(Path.unlink, "are gone"), (lambda p: p.write_bytes(b"x"), "were changed")]
)
def test_kept_weights_that_are_not_as_written_are_not_loaded(tmp_path: Path, harm: Any, words: str) -> None:
    class Harms(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, _: Any) -> None:
            if trainer.current_epoch == 2:
                harm(next(tmp_path.glob("safeguards/*/best-*")))

    module = Scripted()
    runner = trainer(tmp_path, guard(restore_best=True), Harms(), max_epochs=3)
    runner.fit(module, DataLoader(rows(64), 16), DataLoader(rows(32), 16))
    last = verdicts(runner)[-1]
    assert last.outcome is Outcome.ERROR
    assert words in last.reason
    assert torch.equal(weights(module), module.seen[-1])


class Keeps(pl.Callback):
    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def on_train_epoch_end(self, _: Any, module: torch.nn.Module) -> None:
        self.kept.append(weights(module))


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("restore_best", [False, True])
def test_watching_leaves_no_trace(tmp_path: Path, accumulate: int, restore_best: bool) -> None:
    """Weights after 3 epochs with validation in mid-accumulation, dropout, shuffling and noise from the generators."""

    class Noisy(Net):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return super().training_step([batch[0] + torch.randn_like(batch[0]), batch[1]], index)

    seen = []
    for callbacks in ([], [guard(fields=FIELDS, restore_best=restore_best)]):
        pl.seed_everything(0, verbose=False)
        keeps = Keeps()
        runner = trainer(
            tmp_path,
            *callbacks,
            keeps,
            max_epochs=3,
            val_check_interval=2,
            accumulate_grad_batches=accumulate,
        )
        runner.fit(Noisy(), DataLoader(rows(64), 16, shuffle=True), DataLoader(rows(40, seed=1), 16))
        seen.append(keeps.kept)
    assert len(verdicts(runner)) == 6
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))


def test_a_training_set_with_a_generator_of_its_own_goes_on_as_if_nothing_had_been_read(tmp_path: Path) -> None:
    class Augmented(TensorDataset):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
            inputs, target = super().__getitem__(index)
            return inputs + torch.randn(4, generator=self.draw), target

    states = []
    for callbacks in ([], [guard(fields=FIELDS)]):
        data = Augmented(*rows(64).tensors)
        data.draw = torch.Generator().manual_seed(0)
        runner = trainer(tmp_path, *callbacks, num_sanity_val_steps=0)
        runner.fit(Net(), DataLoader(data, 16), DataLoader(rows(32, seed=1), 16))
        states.append(data.draw.get_state())
    assert len(verdicts(runner)) == 1
    assert torch.equal(*states)


def test_memory_is_plain(tmp_path: Path) -> None:
    watch = guard(restore_best=True)
    fit(tmp_path, watch, module=Scripted, max_epochs=2)
    state = watch.state_dict()
    assert json.loads(json.dumps(state)) == state
    other = guard(restore_best=True)
    other.load_state_dict(state)
    assert other.memory() == watch.memory()
    assert other.state_key == watch.state_key


def test_two_guards_that_differ_in_one_argument_are_told_apart_and_keep_their_key() -> None:
    keys = [guard(**one).state_key for one in ({}, {"patience": 2}, {"alpha": 0.1}, {"samples": 9}, {"seed": 1})]
    assert len(set(keys)) == 5
    watch = guard()
    before = watch.state_key
    watch.label, watch.patience = "overfitting.2", 7
    assert watch.state_key == before == keys[0]
