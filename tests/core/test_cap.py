"""``max_share_of_fit`` in real fits, by a clock that only rows of a forward, training steps and looks move."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from safeguards import (
    AdversarialEvaluation,
    BatchFields,
    DriftReport,
    FairnessCheck,
    Limit,
    OverfittingGuard,
    Rows,
    Safeguard,
    Scene,
    ThreatModel,
    Verdict,
    verdicts,
)
from safeguards.core.run import Run
from safeguards.core.verdict import Outcome
from safeguards.core.watching import Trace
from tests.helpers.toys import PAIR, Accuracy, Net, loader, rows, trainer

CAP = 0.02
BY_PLACE = BatchFields(inputs=0, target=1, groups={"g": ["a", "b"] * 512})
ANY = {"limits": {"generalization_gap": Limit(at_most=9.0)}}
KINDS: dict[str, Callable[..., Safeguard]] = {
    "overfitting": lambda **own: OverfittingGuard(fields=PAIR, **ANY, **own),
    "drift": lambda **own: DriftReport(
        fields=PAIR, limits={"drifted_share": Limit(at_most=1.0)}, reference="train", report=False, **own
    ),
    "fairness": lambda **own: FairnessCheck(
        fields=BY_PLACE, limits={"worst_group_accuracy": Limit(at_least=0.0)}, **own
    ),
    "adversarial": lambda **own: AdversarialEvaluation(
        fields=PAIR,
        limits={"robust_accuracy": Limit(at_least=0.0)},
        threat=ThreatModel(eps=0.1),
        attack="fgsm",
        samples=128,
        **own,
    ),
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed(Net):
    """A row of a forward takes a millisecond, a training step four seconds more."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.forwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.clock.now += 0.001 * len(x)
        self.forwards += 1
        return super().forward(x)

    def training_step(self, batch: Any, index: int) -> Tensor:
        self.clock.now += 4.0
        return super().training_step(batch, index)


def timed(safeguard: Safeguard, clock: Clock, fixed: float) -> Safeguard:
    """The same, by this clock; each examination takes so many seconds whatever its rows."""
    examine = safeguard.examine

    def longer(seen: Any, scene: Any) -> Any:
        clock.now += fixed
        return examine(seen, scene)

    safeguard.meter._clock = clock
    safeguard.examine = longer  # type: ignore[method-assign]
    return safeguard


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(Run, "elapsed", lambda run: made.now if run._started is not None else 0.0)
    return made


def judged(path: Path, clock: Clock, safeguard: Safeguard, epochs: int, validation: Any = None) -> list[Verdict]:
    """The verdicts of validations; those at the end of the fit are left out."""
    job = trainer(path, safeguard, max_epochs=epochs, num_sanity_val_steps=0)
    job.fit(Timed(clock), loader(256, 64), loader(1024, 128, seed=1) if validation is None else validation)
    return [verdict for verdict in verdicts(job) if verdict.moment.stage == "validate"]


def share(verdict: Verdict) -> float:
    assert verdict.cost is not None
    return verdict.cost.share_of_fit or 0.0


@pytest.mark.parametrize("fixed", [0.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_cap_holds_and_later_looks_have_rows(tmp_path: Path, clock: Clock, kind: str, fixed: float) -> None:
    free = judged(tmp_path, clock, timed(KINDS[kind](), clock, fixed), 1)
    assert share(free[-1]) > 1.5 * CAP, "or the cap would have nothing to do"
    clock.now = 0.0
    first, *later = judged(tmp_path, clock, timed(KINDS[kind](max_share_of_fit=CAP), clock, fixed), 25)
    assert re.search("max_share_of_fit allowed [0-9]+ of [0-9]+ rows", first.reason)
    assert ["the first look may exceed max_share_of_fit" in each.reason for each in (first, *later)] == [
        True,
        *[False] * len(later),
    ]
    assert len(later) >= 3
    assert all(verdict.n > 50 and verdict.value is not None for verdict in later)
    assert max(verdict.n for verdict in later) > 1.5 * first.n
    assert share(later[-1]) <= CAP
    assert share(later[-1]) > CAP / 4, "what is allowed is made use of"


def test_looks_left_out_are_said_in_the_next_verdict_and_at_the_end(tmp_path: Path, clock: Clock) -> None:
    guard = timed(Accuracy(max_share_of_fit=CAP), clock, 0.6)
    job = trainer(tmp_path, guard, max_epochs=7, num_sanity_val_steps=0)
    job.fit(Timed(clock), loader(256, 64), loader(1024, 64))
    *made, last = verdicts(job)
    assert [verdict.moment.epoch for verdict in made] == [0, 5]
    assert [verdict.details["look"] for verdict in made] == [1, 2], "only looks that are made spend alpha"
    assert "max_share_of_fit left out 4 looks before this one" in made[1].reason
    assert (last.outcome, last.moment.stage) == (Outcome.NOT_EVALUATED, "fit_end")
    assert "max_share_of_fit left out 1 look since its last verdict" in last.reason
    job.validate(Timed(clock), loader(1024, 64), verbose=False)
    assert verdicts(job)[-1].n == 1024, "outside a fit there is no cap"


def test_a_fit_of_another_trainer_pays_for_no_look_or_report_of_an_earlier_one(tmp_path: Path, clock: Clock) -> None:
    class Draws(Accuracy):
        def finish(self, trainer: Any, module: Any) -> None:
            clock.now += 1000.0

    guard = timed(Draws(max_share_of_fit=CAP), clock, 0.6)
    first, second = (trainer(tmp_path / name, guard, max_epochs=7, num_sanity_val_steps=0) for name in ("a", "b"))
    first.fit(Timed(clock), loader(256, 64), loader(1024, 64))
    assert [v.moment.epoch for v in verdicts(first) if v.moment.stage == "validate"] == [0, 5]
    clock.now = 0.0
    second.fit(Timed(clock), loader(256, 64), loader(1024, 64))
    again = [v for v in verdicts(second) if v.moment.stage == "validate"]
    assert [v.moment.epoch for v in again] == [0, 5]
    assert again[0].n == 64, "a pilot of its own"
    clock.now = 0.0
    second.fit_loop.max_epochs = 20
    second.fit(Timed(clock), loader(256, 64), loader(1024, 64))
    more = [v for v in verdicts(second) if v.moment.stage == "validate"]
    assert len(more) > len(again), "nor for its own report of 1000 s"


def test_of_batches_without_a_wanted_row_nothing_is_read_and_nothing_hidden(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = Mock(side_effect=Trace.hidden)
    monkeypatch.setattr(Trace, "hidden", lambda trace: hidden(trace))
    read: list[int] = []

    class Reading(Accuracy):
        def observe(self, seen: Any, rows: Rows, scene: Scene) -> None:
            read.append(len(rows.inputs))
            super().observe(seen, rows, scene)

    module, job = Timed(clock), trainer(tmp_path, Reading(max_share_of_fit=CAP), max_epochs=1, num_sanity_val_steps=0)
    job.fit(module, loader(64, 64), loader(4096, 8))
    (found, *_) = verdicts(job)
    assert sum(read) == found.n < 100
    assert hidden.call_count == len(read) + 2, "beside the batches read only what prepares and what examines"
    assert module.forwards == 1 + 512 + len(read), "a training step, the validation steps, and one for each batch read"
    assert len(read) < 100


class Stream(IterableDataset[Any]):
    def __init__(self, n: int = 6400) -> None:
        self.n = n

    def __iter__(self) -> Any:
        return iter(list(zip(*rows(self.n).tensors, strict=True)))


def test_a_set_without_a_length_is_thinned_too(tmp_path: Path, clock: Clock) -> None:
    guard = timed(Accuracy(max_share_of_fit=CAP), clock, 0.0)
    first, *later = judged(tmp_path, clock, guard, 6, validation=DataLoader(Stream(), 64))
    assert 50 < first.n < 150
    assert "max_share_of_fit allowed 1 row in 64" in first.reason
    assert later[-1].n > 2 * first.n
    assert share(later[-1]) <= CAP


@pytest.mark.parametrize("several", [False, True])
def test_what_is_monitored_of_a_look_left_out_is_nan_and_not_of_other_weights(
    tmp_path: Path, clock: Clock, several: bool
) -> None:
    seen: list[dict[str, float]] = []

    class Monitor(Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            found = trainer.callback_metrics.items()
            seen.append({name: float(value) for name, value in found if name.startswith("safeguard/")})

    logger = Mock(spec=Logger, save_dir=None)
    guard = timed(Accuracy(max_share_of_fit=CAP), clock, 0.6)
    job = trainer(tmp_path, guard, Monitor(), max_epochs=3, num_sanity_val_steps=0, logger=logger)
    validation = loader(1024, 64)
    job.fit(Timed(clock), loader(256, 64), [validation, loader(512, 64)] if several else validation)
    first, *rest = seen
    names = {"safeguard/toy/accuracy/0", "safeguard/toy/accuracy/1"} if several else {"safeguard/toy/accuracy"}
    assert [set(each) for each in seen] == [names] * 3
    assert not any(math.isnan(value) for value in first.values())
    assert all(math.isnan(value) for each in rest for value in each.values())
    told = [call for call in logger.log_metrics.call_args_list if names & set(call.args[0] if call.args else ())]
    assert len(told) == 1, "a logger's line of points has no gap to draw"


@pytest.mark.parametrize(("rows", "seen"), [(640, range(1, 64)), (4, range(1))])
def test_a_set_without_a_length_has_no_fewest_rows(tmp_path: Path, clock: Clock, rows: int, seen: range) -> None:
    guard = timed(Accuracy(max_share_of_fit=CAP), clock, 0.0)
    (found,) = judged(tmp_path, clock, guard, 1, validation=DataLoader(Stream(rows), 4))
    assert found.n in seen
    assert (found.outcome is Outcome.INCONCLUSIVE) == ("no rows were seen" in found.reason) == (found.n == 0)
    assert "max_share_of_fit allowed 1 row in 64" in found.reason
