"""The gap measured row by row, against a plain computation over the same rows."""

from __future__ import annotations

import copy
import gc
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

from safeguards import BatchFields, Limit, Outcome, OverfittingGuard, verdicts
from safeguards.core.errors import ConfigurationError
from tests.overfitting.nets import FIELDS, Net, fit, rows, trainer


def guard(**options: Any) -> OverfittingGuard:
    return OverfittingGuard(**{"fields": FIELDS, "limits": {"generalization_gap": Limit(at_most=0.5)}, **options})


class Keeps(pl.Callback):
    """Copies of the module as it was at the end of each validation."""

    def __init__(self) -> None:
        self.modules: list[Net] = []

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        plain = Net()
        plain.load_state_dict(copy.deepcopy(module.state_dict()))
        self.modules.append(plain.eval())


@torch.no_grad()
def mean_loss(module: Net, data: TensorDataset) -> float:
    inputs, target = data[:]
    return float(functional.cross_entropy(module(inputs), target))


def fit_with_copies(root: Path, watch: OverfittingGuard, **options: Any) -> tuple[list, list[Net]]:
    keeps, data = Keeps(), {"train": rows(64), "validation": rows(48, seed=1)} | options
    runner = trainer(root, watch, keeps, max_epochs=2, num_sanity_val_steps=0)
    runner.fit(Net(), DataLoader(data["train"], 16, shuffle=True), DataLoader(data["validation"], 16))
    return verdicts(runner), keeps.modules


def test_the_value_is_the_plain_computation_over_all_rows_at_those_weights(tmp_path: Path) -> None:
    found, modules = fit_with_copies(tmp_path, guard())
    assert len(found) == len(modules) == 2
    for verdict, module in zip(found, modules, strict=True):
        train, validation = mean_loss(module, rows(64)), mean_loss(module, rows(48, seed=1))
        assert verdict.details["train_loss"] == pytest.approx(train, rel=1e-6)
        assert verdict.details["validation_loss"] == pytest.approx(validation, rel=1e-6)
        assert verdict.value == pytest.approx(validation - train, abs=1e-6)
        assert verdict.n == 64 + 48
        assert verdict.interval[0] < verdict.value < verdict.interval[1]
        assert verdict.details["source"] == "measured"
        assert verdict.unit == "nats"
    assert found[0].value != found[1].value
    assert found[1].details["confidence"] == pytest.approx(1 - 0.05 * 6 / math.pi**2 / 4)


def test_the_sample_is_bounded_and_the_same_at_every_look(tmp_path: Path) -> None:
    frozen = Net(learning_rate=0.0)
    frozen.body[1].momentum = 0.0
    found = fit(tmp_path, guard(samples=40), module=frozen, train=DataLoader(rows(500), 50, shuffle=True), max_epochs=3)
    assert {(v.details["train_rows"], v.details["validation_rows"]) for v in found} == {(40, 32)}
    assert len({v.value for v in found}) == 1
    other = fit(tmp_path, guard(samples=40, seed=1), module=frozen, train=DataLoader(rows(500), 50, shuffle=True))
    assert other[0].value != found[0].value


class Doubles(Net):
    """Changes every batch on its way to the device, as those do that scale or augment there."""

    def on_before_batch_transfer(self, batch: Any, _: int) -> Any:
        return [2 * batch[0], batch[1]]


class Triples(Net):
    def on_after_batch_transfer(self, batch: Any, _: int) -> Any:
        return [3 * batch[0], batch[1]]


@pytest.mark.parametrize(
    ("module", "options"),
    [(Doubles, {}), (Triples, {}), (Net, {"precision": "64-true"}), (Net, {"precision": "bf16-true"})],
)
def test_training_rows_come_as_the_step_gets_them(tmp_path: Path, module: type[Net], options: dict[str, Any]) -> None:
    """The same rows on both sides: any gap comes from how they were handed over."""
    (found,) = fit(tmp_path, guard(), module=module, validation=DataLoader(rows(64), 16), **options)
    assert found.outcome is Outcome.PASS, found.reason
    assert found.value == pytest.approx(0, abs=1e-9)


def test_a_data_module_may_change_batches_too(tmp_path: Path) -> None:
    class Data(pl.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return DataLoader(rows(64), 16)

        val_dataloader = train_dataloader

        def transfer_batch_to_device(self, batch: Any, device: Any, index: int) -> Any:
            return super().transfer_batch_to_device([2 * batch[0], batch[1]], device, index)

    runner = trainer(tmp_path, guard(), num_sanity_val_steps=0)
    runner.fit(Net(), datamodule=Data())
    assert verdicts(runner)[0].value == pytest.approx(0, abs=1e-9)


def test_only_rows_that_the_sampler_draws_are_training_rows(tmp_path: Path) -> None:
    """Training and validation share one data set: its other half must not count as training rows."""
    data = rows(128)
    halves = SubsetRandomSampler(range(64)), Subset(data, range(64, 128))
    watch, keeps = guard(), Keeps()
    runner = trainer(tmp_path, watch, keeps, num_sanity_val_steps=0)
    runner.fit(Net(), DataLoader(data, 16, sampler=halves[0]), DataLoader(halves[1], 16))
    found = verdicts(runner)[0]
    assert found.details["train_rows"] == 64
    assert found.details["train_loss"] == pytest.approx(
        mean_loss(keeps.modules[0], TensorDataset(*data[:64])), rel=1e-6
    )


def test_an_overfitted_model_fails_and_the_same_on_its_own_rows_passes(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    noise = TensorDataset(torch.randn(64, 4, generator=draw), torch.randint(0, 2, (64,), generator=draw))
    other = TensorDataset(torch.randn(200, 4, generator=draw), torch.randint(0, 2, (200,), generator=draw))
    copies = TensorDataset(*noise.tensors)
    for validation, outcome in ((other, Outcome.FAIL), (copies, Outcome.PASS)):
        module = Net(learning_rate=0.5)
        module.body[2].p = 0.0
        found = fit(
            tmp_path,
            guard(limits={"generalization_gap": Limit(at_most=0.2)}),
            module=module,
            train=DataLoader(noise, 32, shuffle=True),
            validation=DataLoader(validation, 50),
            max_epochs=150,
            check_val_every_n_epoch=150,
        )
        assert found[-1].outcome is outcome, found[-1].reason


def test_one_logit_and_a_loss_of_ones_own(tmp_path: Path) -> None:
    class OneLogit(Net):
        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return functional.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1].float())

    def squared(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (outputs - target) ** 2

    binary = fit(tmp_path, guard(), module=OneLogit(outputs=1))[0]
    assert binary.outcome is Outcome.PASS, binary.reason
    assert 0.3 < binary.details["train_loss"] < 1.2
    regression = fit(tmp_path, guard(loss=squared, output="logits"), module=OneLogit(outputs=1))[0]
    assert regression.value != binary.value
    assert regression.unit == ""
    wrong = fit(tmp_path, guard(loss=lambda outputs, target: squared(outputs, target).mean()), module=OneLogit(1))[0]
    assert wrong.outcome is Outcome.ERROR
    assert "loss= gave shape () for 32 rows: expected one loss per row" in wrong.reason


def test_outputs_may_come_from_a_submodule_or_a_function(tmp_path: Path) -> None:
    class Pair(Net):
        def forward(self, inputs: torch.Tensor) -> Any:
            return super().forward(inputs), "something else"

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return functional.cross_entropy(self(batch[0])[0], batch[1])

    plain = fit(tmp_path, guard())[0]
    captured = fit(tmp_path, guard(outputs_of="head"), module=Pair)[0]
    given = fit(tmp_path, guard(predict=lambda module, inputs: module(inputs)[0]), module=Pair)[0]
    assert captured.details["train_loss"] == given.details["train_loss"] == plain.details["train_loss"]
    missing = fit(tmp_path, guard(), module=Pair)[0]
    assert missing.outcome is Outcome.ERROR
    assert "give predict=" in missing.reason


def test_a_model_whose_logits_are_nan_fails(tmp_path: Path) -> None:
    module = Net()
    torch.nn.init.constant_(module.head.weight, math.nan)
    found = fit(tmp_path, guard(), module=module)[0]
    assert found.outcome is Outcome.FAIL
    assert "32 of 32 validation rows have a loss that is not a finite number" in found.reason


def test_a_single_bad_row_outside_the_sample_is_still_seen(tmp_path: Path) -> None:
    data = rows(200, seed=1)
    data.tensors[0][7] = math.inf
    found = fit(tmp_path, guard(samples=30), validation=DataLoader(data, 50))[0]
    assert found.outcome is Outcome.FAIL
    assert "1 of 200 validation rows" in found.reason


def test_too_few_rows_are_inconclusive(tmp_path: Path) -> None:
    found = fit(tmp_path, guard(), validation=DataLoader(rows(20, seed=1), 16))[0]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "64 of training and 20 of validation: at least 30 of each needed" in found.reason


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(rows(64))


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (
            DataLoader(Stream(), batch_size=16),
            "the training set Stream has no rows to choose from, only a stream: give it __len__",
        ),
        ([DataLoader(rows(64), batch_size=16)] * 2, "this trainer trains on a list: let train_dataloader() return one"),
        (
            DataLoader(rows(64), batch_size=None, sampler=[range(16)]),
            "makes its own batches: give the DataLoader a batch_size",
        ),
        (DataLoader(rows(64), batch_size=16, sampler=list(range(64))), "which training rows a list draws"),
    ],
)
def test_training_rows_that_cannot_be_chosen_are_an_error_with_the_remedy(
    tmp_path: Path, train: Any, words: str
) -> None:
    class FirstOfSeveral(Net):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return super().training_step(batch if isinstance(batch[0], torch.Tensor) else batch[0], index)

    found = fit(tmp_path, guard(), module=FirstOfSeveral, train=train)[0]
    assert found.outcome is Outcome.ERROR
    assert words in found.reason
    assert "OverfittingGuard(train=, validation=)" in found.reason


def test_outside_fit_training_rows_come_from_the_data_module_or_are_missed(tmp_path: Path) -> None:
    class Data(pl.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return DataLoader(rows(64), 16)

        def val_dataloader(self) -> DataLoader:
            return DataLoader(rows(48, seed=1), 16)

        test_dataloader = val_dataloader

    for stage in ("validate", "test"):
        runner, module = trainer(tmp_path, guard()), Net()
        getattr(runner, stage)(module, datamodule=Data(), verbose=False)
        found = verdicts(runner)[0]
        gap = mean_loss(module.eval(), rows(48, seed=1)) - mean_loss(module, rows(64))
        assert found.value == pytest.approx(gap, rel=1e-5)
        assert "patience" not in found.details
    runner = trainer(tmp_path, guard())
    runner.validate(Net(), DataLoader(rows(48), 16), verbose=False)
    assert verdicts(runner)[0].outcome is Outcome.ERROR
    assert "no training rows outside fit" in verdicts(runner)[0].reason


def test_after_a_fit_the_rows_that_it_trained_on_are_the_training_rows(tmp_path: Path) -> None:
    """The loader of 16 rows a batch was cut after three batches: the other rows were never trained on."""
    module, runner = Net(), trainer(tmp_path, guard(), max_epochs=1, limit_train_batches=3)
    runner.fit(module, DataLoader(rows(64), 16), DataLoader(rows(32, seed=1), 16))
    runner.test(module, DataLoader(rows(40, seed=2), 16), verbose=False)
    last = verdicts(runner)[-1]
    assert (last.moment.stage, last.n) == ("test", 48 + 40)
    expected = mean_loss(module.eval(), rows(40, seed=2)) - mean_loss(module, TensorDataset(*rows(64)[:48]))
    assert last.value == pytest.approx(expected, abs=1e-6)


def test_a_loader_that_knows_its_trainer_does_not_keep_it_alive(tmp_path: Path) -> None:
    runner, train = trainer(tmp_path, guard(), max_epochs=1), DataLoader(rows(64), 16)
    vars(train.dataset)["owner"] = runner
    runner.fit(Net(), train, DataLoader(rows(32, seed=1), 16))
    gone = weakref.ref(runner)
    del runner, train
    gc.collect()
    assert gone() is None


def test_a_cap_on_cost_lowers_the_training_rows_and_says_so(tmp_path: Path) -> None:
    found = fit(tmp_path, guard(samples=70, max_share_of_fit=0.5), train=DataLoader(rows(500), 50))[0]
    assert found.details["train_rows"] == 64
    assert "max_share_of_fit allowed 64 of 70 rows" in found.reason


def test_several_validation_loaders_are_judged_apart(tmp_path: Path) -> None:
    class Two(Net):
        def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
            self(batch[0])

    loaders = [DataLoader(rows(48, seed=1), 16), DataLoader(rows(40, seed=2), 16)]
    found = fit(tmp_path, guard(), module=Two(), validation=loaders, max_epochs=2)
    assert [(v.moment.loader, v.details["validation_rows"]) for v in found] == [("0", 48), ("1", 40)] * 2
    assert [v.details["looks_in_slope"] for v in found] == [1, 1, 2, 2]


def test_of_several_loaders_the_first_decides_which_weights_are_the_best(tmp_path: Path) -> None:
    """Its labels are turned round, so that its loss is the higher one at every look, and only grows."""

    class Two(Net):
        def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
            self(batch[0])

    inputs, target = rows(48, seed=1).tensors
    loaders = [DataLoader(TensorDataset(inputs, 1 - target), 16), DataLoader(rows(64), 16)]
    *found, _, _ = fit(tmp_path, guard(restore_best=True), module=Two(), validation=loaders, max_epochs=3)
    losses = [v.details["validation_loss"] for v in found if v.moment.loader == "0"]
    assert len(losses) == 3
    assert found[-1].details["best_weights"]["loss"] == min(losses) == losses[0]


def test_a_target_is_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"a loss needs the target, name it as in target=1$"):
        guard(fields=BatchFields(inputs=0))


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"patience": 0}, {"fewest_rows": 1.5}, {"alpha": 1}, {"alpha": 0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        guard(**wrong)


def test_some_source_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="fields= to measure"):
        OverfittingGuard(limits={"generalization_gap": Limit(at_most=1)})
