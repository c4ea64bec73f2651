"""A fit with safeguards against the bare fit, on rows as many and as wide as the Adult census."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from typing import Any

import torch
from pytorch_lightning import Callback, seed_everything
from torch.utils.data import DataLoader

from benchmarks.fitting import quiet_trainer
from benchmarks.timing import Result, median_interval, quartiles
from benchmarks.turns import Done, HandOn, side_by_side
from pipelines.data.rows import Rows
from pipelines.models import TabularNet
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
from safeguards.core.verdict import Cost

TRAINING, VALIDATION, FEATURES = 32_561, 16_281, 107  # Adult: its two parts, its columns encoded
BATCH, BATCHES_A_TURN = 256, 8
EPOCHS = {32: 10, 512: 6}  # by hidden units: the smaller the network, the larger the safeguards' share
FIELDS = BatchFields(inputs="inputs", target="target", row_id="row_id", groups={"sex": "sex", "race": "race"})


def overfitting() -> OverfittingGuard:
    return OverfittingGuard(fields=FIELDS, limits={"generalization_gap": Limit(at_most=0.2)})


def fairness() -> FairnessCheck:
    return FairnessCheck(fields=FIELDS, limits={"equalized_odds_difference": Limit(at_most=0.2)})


def attack() -> AdversarialEvaluation:
    return AdversarialEvaluation(
        fields=FIELDS, threat=ThreatModel(eps=0.1), limits={"robust_accuracy": Limit(at_least=0.5)}
    )


def drift() -> DriftReport:
    return DriftReport(reference="train", fields=FIELDS, limits={"drifted_share": Limit(at_most=0.1)}, report=False)


ARMS: dict[str, list[Callable[[], Callback]]] = {
    "bare": [],
    "overfitting + fairness": [overfitting, fairness],
    "all four: attacks (pgd, 512 rows, 10 steps) and drift (5,000 rows of each side, no page) too": [
        overfitting,
        fairness,
        attack,
        drift,
    ],
}
Costs = dict[str, list[Cost]]


@dataclass(frozen=True)
class Fit:
    """One fit to be made: hidden units, the name of its safeguards, epochs."""

    width: int
    arm: str
    epochs: int


class Turns(Callback):
    """Hands the turn on every few batches, and on both sides of a validation."""

    def __init__(self, hand_on: HandOn) -> None:
        self._hand_on = hand_on

    def on_train_batch_end(self, *hook: Any, **_: Any) -> None:
        self._count(batch=hook[4])

    def on_validation_batch_end(self, *hook: Any, **_: Any) -> None:
        self._count(batch=hook[4])

    def _count(self, *, batch: int) -> None:
        if batch % BATCHES_A_TURN == BATCHES_A_TURN - 1:
            self._hand_on()

    def on_validation_start(self, *hook: Any) -> None:
        self._hand_on()

    on_validation_end = on_validation_start


def measure() -> Result:
    done: dict[Fit, list[Done[Costs]]] = {}
    with side_by_side(fit, places=len(ARMS)) as fits:
        fits([Fit(min(EPOCHS), list(ARMS)[-1], epochs=1)] * len(ARMS))
        for arms in permutations(ARMS):
            for width, epochs in EPOCHS.items():
                asked = [Fit(width, arm, epochs) for arm in arms]
                for one, took in zip(asked, fits(asked), strict=True):
                    done.setdefault(one, []).append(took)
    in_order = [Fit(width, arm, epochs) for width, epochs in EPOCHS.items() for arm in ARMS]
    return Result(
        title="Fit with safeguards against the bare fit",
        target="overfitting and fairness together at most 1.02x; attacks and drift as their own shares",
        headings=(
            "hidden units",
            "safeguards",
            "seconds, median (quartiles)",
            "against bare, median of the rounds (quartiles)",
            "interval",
            "in processor seconds, median (quartiles)",
            "interval",
            "share of the fit by their own account",
        ),
        rows=[_row(one, done[one], done[replace(one, arm="bare")]) for one in in_order],
        notes=[
            f"{TRAINING:,} training and {VALIDATION:,} validation rows of {FEATURES} features (synthetic, of Adult's "
            f"size), {_epochs()}, in batches of {BATCH}, a validation after each, one process for each fit. The "
            "perceptron has two hidden layers. The fits of a round go on side by side, one at a time: the turn passes "
            f"every {BATCHES_A_TURN} batches and on both sides of a validation, and the seconds of a fit are those of "
            "its turns, from making the trainer to the printed table; libraries are imported in a fit before. "
            f"{len(done[in_order[0]])} rounds, one for each order of the fits over the processes; a ratio compares two "
            "fits of one round, and the interval is that of its median (sign test), with the confidence beside it. "
            "Processor seconds are those of all threads: other work on the machine adds to seconds and hardly to them.",
            "Per validation the overfitting guard forwards 1,024 training rows, as many as four training batches; it "
            "reads them at the first. Both count every batch; fairlearn's second opinion comes once per fit and is in "
            "the seconds alone. A validation took each safeguard: "
            + "; ".join(told for one in in_order[len(ARMS) - 1 :: len(ARMS)] for told in _accounts(one, done[one]))
            + ".",
        ],
    )


def fit(one: Fit, hand_on: HandOn) -> Costs:
    """What each verdict of one fit cost, by safeguard."""
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    seed_everything(0, verbose=False)
    safeguards = [make() for make in ARMS[one.arm]]
    with tempfile.TemporaryDirectory() as folder:
        trainer = quiet_trainer(folder, [*safeguards, Turns(hand_on)], max_epochs=one.epochs)
        training, validation = _rows(TRAINING, seed=0), _rows(VALIDATION, seed=1)
        loaders = DataLoader(training, batch_size=BATCH, shuffle=True), DataLoader(validation, batch_size=BATCH)
        with contextlib.redirect_stdout(io.StringIO()):  # the table of verdicts
            trainer.fit(TabularNet(features=FEATURES, width=one.width), *loaders)
    reached = verdicts(trainer)
    assert len(reached) == one.epochs * len(safeguards), "a safeguard that does not judge costs nothing"
    costs: Costs = {}
    for verdict in reached:
        assert verdict.cost is not None
        costs.setdefault(verdict.safeguard, []).append(verdict.cost)
    return costs


def _row(one: Fit, took: list[Done[Costs]], bare: list[Done[Costs]]) -> tuple[str, ...]:
    lower, middle, upper = quartiles([each.seconds for each in took])
    pairs = list(zip(took, bare, strict=True))
    return (
        str(one.width),
        one.arm,
        f"{middle:.2f} ({lower:.2f} to {upper:.2f})",
        *_compared([each.seconds / other.seconds for each, other in pairs]),
        *_compared([each.processor_seconds / other.processor_seconds for each, other in pairs]),
        f"{sum(_shares(took).values()):.2%}",
    )


def _compared(ratios: Sequence[float]) -> tuple[str, str]:
    lower, middle, upper = quartiles(ratios)
    low, high, surely = median_interval(ratios)
    return f"{middle:.3f}x ({lower:.3f} to {upper:.3f})", f"{low:.3f}x to {high:.3f}x ({surely:.1%})"


def _shares(took: list[Done[Costs]]) -> dict[str, float]:
    """The share of its fit that each safeguard's verdicts took, median of the fits: to wait for a turn is no part."""
    return {
        safeguard: quartiles([sum(cost.seconds for cost in each.found[safeguard]) / each.seconds for each in took])[1]
        for safeguard in took[0].found
    }


def _epochs() -> str:
    return " and ".join(f"{epochs} epochs with {width} hidden units" for width, epochs in EPOCHS.items())


def _accounts(one: Fit, took: list[Done[Costs]]) -> list[str]:
    told = []
    for safeguard, share in _shares(took).items():
        costs = [1000 * cost.seconds for each in took for cost in each.found[safeguard]]
        lower, middle, upper = quartiles(costs)
        spent = f"{middle:.1f} ms ({lower:.1f} to {upper:.1f}), {share:.2%} of the fit"
        told.append(f"{safeguard} {spent}, with {one.width} hidden units")
    return told


@cache
def _rows(n: int, *, seed: int) -> Rows:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, FEATURES, generator=draw)
    target = (inputs[:, :8].sum(1) + torch.randn(n, generator=draw) > 0).long()
    sex = torch.randint(2, (n,), generator=draw).tolist()
    race = torch.randint(5, (n,), generator=draw).tolist()
    groups = {"sex": [("Female", "Male")[i] for i in sex], "race": [f"race {i}" for i in race]}
    return Rows(inputs=inputs, target=target, row_id=torch.arange(n), groups=groups)
