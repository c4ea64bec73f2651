"""A fit with safeguards against the bare fit, on rows as many and as wide as the Adult census."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from pytorch_lightning import Callback, seed_everything
from torch.utils.data import DataLoader

from benchmarks.fitting import quiet_trainer
from benchmarks.timing import Result, in_rounds, median_interval, quartiles, seconds
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
BATCH, ROUNDS = 256, 7
EPOCHS = {32: 12, 512: 8}  # by hidden units: the smaller the network, the larger the safeguards' share
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
Data = tuple[Rows, Rows]


def measure() -> Result:
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    data = _rows(TRAINING, seed=0), _rows(VALIDATION, seed=1)
    fits = {width: {name: Fits(width=width, made=made, data=data) for name, made in ARMS.items()} for width in EPOCHS}
    Fits(width=min(EPOCHS), made=list(ARMS.values())[-1], data=data).fit()
    contenders = {(width, name): one.fit for width, arms in fits.items() for name, one in arms.items()}
    found = in_rounds(contenders, times=ROUNDS)
    return Result(
        title="Fit with safeguards against the bare fit",
        target="overfitting and fairness together at most 1.02x; attacks and drift as their own shares",
        headings=(
            "hidden units",
            "safeguards",
            "seconds, median (quartiles)",
            "against bare, median of the rounds",
            "interval",
            "share of the fit by their own account",
        ),
        rows=[_row(fits[width][name], name, took, found[width, "bare"]) for (width, name), took in found.items()],
        notes=[
            f"{TRAINING:,} training and {VALIDATION:,} validation rows of {FEATURES} features (synthetic, of Adult's "
            f"size), {_epochs()}, in batches of {BATCH}, a validation after each, one process. The perceptron has two "
            f"hidden layers. {ROUNDS} rounds, in each every arm once; a ratio compares two fits of one round, and the "
            "interval is that of its median (sign test), with the confidence beside it.",
            "Per validation the overfitting guard forwards 1,024 training rows, as many as four training batches; it "
            "reads them at the first. Both count every batch; fairlearn's second opinion comes once per fit and is in "
            "the seconds alone. A validation took each safeguard: " + "; ".join(_accounts(fits)) + ".",
        ],
    )


@dataclass
class Fits:
    """Fits of one network with the same safeguards, and what each verdict cost."""

    width: int
    made: list[Callable[[], Callback]]
    data: Data
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def fit(self) -> float:
        """Seconds of one more."""
        epochs = EPOCHS[self.width]
        seed_everything(0, verbose=False)
        with tempfile.TemporaryDirectory() as folder:
            trainer = quiet_trainer(folder, [make() for make in self.made], max_epochs=epochs)
            training, validation = self.data
            loaders = DataLoader(training, batch_size=BATCH, shuffle=True), DataLoader(validation, batch_size=BATCH)
            with contextlib.redirect_stdout(io.StringIO()):  # the table of verdicts
                took = seconds(lambda: trainer.fit(TabularNet(features=FEATURES, width=self.width), *loaders))
        reached = verdicts(trainer)
        assert len(reached) == epochs * len(self.made), "a safeguard that does not judge costs nothing"
        for verdict in reached:
            if verdict.cost is not None:
                self.costs.setdefault(verdict.safeguard, []).append(verdict.cost)
        return took

    def shares(self) -> list[float]:
        """The share of its fit that each safeguard had taken at the end, median of the fits."""
        last = slice(EPOCHS[self.width] - 1, None, EPOCHS[self.width])
        ended = [[cost.share_of_fit or 0.0 for cost in costs[last]] for costs in self.costs.values()]
        return [quartiles(each)[1] for each in ended]


def _row(fits: Fits, name: str, took: list[float], bare: list[float]) -> tuple[str, ...]:
    lower, middle, upper = quartiles(took)
    ratios = [one / other for one, other in zip(took, bare, strict=True)]
    low, high, surely = median_interval(ratios)
    return (
        str(fits.width),
        name,
        f"{middle:.2f} ({lower:.2f} to {upper:.2f})",
        f"{quartiles(ratios)[1]:.3f}x",
        f"{low:.3f}x to {high:.3f}x ({surely:.1%})",
        f"{sum(fits.shares()):.2%}",
    )


def _epochs() -> str:
    return " and ".join(f"{epochs} epochs with {width} hidden units" for width, epochs in EPOCHS.items())


def _accounts(measured: Mapping[int, Mapping[str, Fits]]) -> list[str]:
    told = []
    for width, arms in measured.items():
        fits = list(arms.values())[-1]
        for (safeguard, costs), share in zip(fits.costs.items(), fits.shares(), strict=True):
            lower, middle, upper = quartiles([1000 * cost.seconds for cost in costs])
            took = f"{middle:.1f} ms ({lower:.1f} to {upper:.1f}), {share:.2%} of the fit"
            told.append(f"{safeguard} {took}, with {width} hidden units")
    return told


def _rows(n: int, *, seed: int) -> Rows:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, FEATURES, generator=draw)
    target = (inputs[:, :8].sum(1) + torch.randn(n, generator=draw) > 0).long()
    sex = torch.randint(2, (n,), generator=draw).tolist()
    race = torch.randint(5, (n,), generator=draw).tolist()
    groups = {"sex": [("Female", "Male")[i] for i in sex], "race": [f"race {i}" for i in race]}
    return Rows(inputs=inputs, target=target, row_id=torch.arange(n), groups=groups)
