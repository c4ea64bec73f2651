"""Verdicts of a fit, and the weights that come out of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from torch import nn

from safeguards import BatchFields, DriftReport, Limit, Moment, Outcome, verdicts
from safeguards.core.ranks import Ranks
from safeguards.core.report import overall
from safeguards.core.weights import ELEMENTS, Judged, weights_digest
from tests.helpers.toys import Accuracy, Net, expected_accuracy, loader, rows, trainer


def fit(root: Path, *callbacks: Any, module: Net | None = None, **options: Any) -> Any:
    job = trainer(root, Accuracy(), *callbacks, **{"max_epochs": 3, **options})
    job.fit(module or net(), loader(64), loader())
    return job


def net(kind: type[Net] = Net) -> Net:
    torch.manual_seed(0)
    return kind()


def end(job: Any) -> tuple[Outcome, str]:
    last = verdicts(job)[-1]
    return last.outcome, last.reason


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int8, torch.bool])
def test_one_changed_element_of_a_small_parameter_changes_the_digest(dtype: torch.dtype) -> None:
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(3, 4, dtype=dtype).t(), requires_grad=False)
    before = weights_digest(module)
    assert weights_digest(module) == before
    module.weight[2, 1] = 1
    assert weights_digest(module) != before
    module.weight[2, 1] = 0
    assert weights_digest(module) == before


def test_of_a_large_parameter_evenly_spread_elements_count() -> None:
    module = nn.Linear(ELEMENTS, 4, bias=False)
    before = weights_digest(module)
    with torch.no_grad():
        module.weight[0, 1] += 1
        assert weights_digest(module) == before
        module.weight[3, ELEMENTS - 4] += 1
    assert weights_digest(module) != before


def test_parameters_that_are_empty_or_not_there_yet_have_a_digest() -> None:
    module = nn.ModuleList([nn.LazyLinear(3), nn.Linear(0, 2), nn.Linear(2, 2, device="meta")])
    module.single = nn.Parameter(torch.tensor(1.0))
    before = weights_digest(module)
    nn.init.zeros_(module.single)
    assert weights_digest(module) != before


@pytest.mark.filterwarnings("ignore")
def test_a_layout_without_plain_elements_is_known_by_its_changes() -> None:
    module = nn.Module()
    module.sparse = nn.Parameter(torch.eye(3).to_sparse())
    before = weights_digest(module)
    assert weights_digest(module) == before
    with torch.no_grad():
        module.sparse.mul_(2)
    assert weights_digest(module) != before
    module.small = nn.Parameter(torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8), requires_grad=False)
    assert weights_digest(module) == weights_digest(module)


def test_weights_that_are_swapped_in_after_the_last_judgement_were_not_judged(tmp_path: Path) -> None:
    module = net()
    job = fit(tmp_path, StochasticWeightAveraging(swa_lrs=1.0, swa_epoch_start=1), module=module)
    *judged, last = verdicts(job)
    assert [v.outcome for v in judged] == [Outcome.PASS] * 3
    assert judged[-1].value != expected_accuracy(module, rows())
    assert (last.outcome, last.measure, last.moment.stage) == (Outcome.NOT_EVALUATED, "accuracy", "fit_end")
    assert last.reason == (
        "the weights that this fit ends with were not judged in it; the last verdict, of validate epoch 2 step 12, is "
        "of others: judge these with trainer.validate()"
    )
    assert overall(verdicts(job)) is Outcome.NOT_EVALUATED


def test_judging_the_final_weights_ends_the_silence(tmp_path: Path) -> None:
    module = net()
    job = fit(tmp_path, StochasticWeightAveraging(swa_lrs=1.0, swa_epoch_start=1), module=module)
    job.validate(module, loader(), verbose=False)
    assert verdicts(job)[-1].value == expected_accuracy(module, rows())
    assert overall(verdicts(job)) is Outcome.PASS


@pytest.mark.parametrize("options", [{"val_check_interval": 3}, {"max_steps": 5}, {"check_val_every_n_epoch": 2}])
def test_training_past_the_last_validation_is_said(tmp_path: Path, options: dict[str, Any]) -> None:
    outcome, reason = end(fit(tmp_path, **options))
    assert outcome is Outcome.NOT_EVALUATED
    assert "not judged" in reason


class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.net.insert(1, nn.BatchNorm1d(8))


class Recalibrates(Callback):
    """Estimates the running statistics anew, as after an average of weights or for other data."""

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.net[1].reset_running_stats()


class Still(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Back(Callback):
    """Puts the weights of the first epoch back when training is over."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 0:
            self.kept = {name: value.clone() for name, value in pl_module.state_dict().items()}

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.load_state_dict(self.kept)


@pytest.mark.parametrize(
    ("callbacks", "module"),
    [([], Net), ([], Still), ([EMAWeightAveraging(decay=0.5)], Net), ([EMAWeightAveraging(decay=0.5)], Normed)],
    ids=["plain", "still", "averaged in every validation", "averaged with its statistics"],
)
def test_nothing_is_said_where_the_final_weights_were_judged(tmp_path: Path, callbacks: Any, module: Any) -> None:
    job = fit(tmp_path, *callbacks, module=net(module), val_check_interval=3 if module is Still else 1.0)
    assert {v.outcome for v in verdicts(job)} == {Outcome.PASS}


def test_weights_of_an_earlier_look_are_named(tmp_path: Path) -> None:
    outcome, reason = end(fit(tmp_path, Back()))
    assert outcome is Outcome.NOT_EVALUATED
    assert "were judged earlier, at validate epoch 0 step 4" in reason


def test_weights_that_one_process_judged_and_another_did_not_were_not_judged() -> None:
    module, judged = net(), Judged()
    judged.note("validation", module, Moment(stage="validate", epoch=0, step=4), Ranks())
    with_another: Any = SimpleNamespace(rank=0, gather=lambda found: [found, {"validation": -1}])
    assert judged.since(module, Ranks()) == {}
    assert "were not judged in it" in judged.since(module, with_another)["validation"]


@pytest.mark.parametrize(("rank", "told"), [(0, {"validation"}), (1, set())])
def test_buffers_count_on_the_process_whose_buffers_a_checkpoint_keeps(rank: int, told: set[str]) -> None:
    module, judged = nn.BatchNorm1d(2), Judged()
    ranks: Any = SimpleNamespace(rank=rank, gather=lambda found: [found])
    judged.note("validation", module, Moment(stage="validate", epoch=0, step=4), ranks)
    module.running_mean += 1
    assert judged.since(module, ranks).keys() == told


def test_buffers_that_no_checkpoint_keeps_do_not_count() -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("cache", torch.zeros(2), persistent=False)
    module.register_buffer("none", None)
    before = weights_digest(module)
    module.cache += 1
    assert weights_digest(module) == before
    module.register_buffer("mean", torch.zeros(2))
    assert weights_digest(module) != before


def test_statistics_estimated_anew_after_the_last_judgement_were_not_judged(tmp_path: Path) -> None:
    assert {v.outcome for v in verdicts(fit(tmp_path, module=net(Normed)))} == {Outcome.PASS}
    outcome, reason = end(fit(tmp_path, Recalibrates(), module=net(Normed)))
    assert outcome is Outcome.NOT_EVALUATED
    assert "not judged" in reason


def test_what_says_nothing_of_the_model_outlives_its_weights(tmp_path: Path) -> None:
    class OfRows(Accuracy):
        judges_weights = False

    job = trainer(tmp_path, OfRows(), max_steps=5, max_epochs=3)
    job.fit(net(), loader(64), loader())
    assert {v.outcome for v in verdicts(job)} == {Outcome.PASS}


def test_a_second_fit_starts_anew(tmp_path: Path) -> None:
    module, job = net(), trainer(tmp_path, Accuracy(), max_epochs=1)
    job.fit(module, loader(64), loader())
    job.fit_loop.max_epochs, job.limit_val_batches = 2, 0
    job.fit(module, loader(64), loader())
    assert "no validation ran" in end(job)[1]
    assert sum(v.outcome is Outcome.NOT_EVALUATED for v in verdicts(job)) == 1


@pytest.mark.parametrize(("fields", "of_the_model"), [(None, False), (BatchFields(inputs=0), True)])
def test_tables_alone_say_nothing_of_the_model(fields: BatchFields | None, of_the_model: bool) -> None:
    guard = DriftReport(reference="train", fields=fields, limits={"drifted_share": Limit(at_most=0.1)})
    assert guard.judges_weights is of_the_model
