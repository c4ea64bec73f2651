"""A fit with safeguards against the bare fit, on rows as many and as wide as the Adult census."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable
from functools import partial

import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from torch.utils.data import DataLoader

from benchmarks.timing import Result, in_rounds, median_interval, quartiles, seconds
from pipelines.data.rows import Rows
from pipelines.models import TabularNet
from safeguards import (
    AdversarialEvaluation,
    BatchFields,
    FairnessCheck,
    Limit,
    OverfittingGuard,
    ThreatModel,
    verdicts,
)
from safeguards.core.verdict import Cost

TRAINING, VALIDATION, FEATURES = 32_561, 16_281, 107  # Adult: its two parts, its columns encoded
EPOCHS, BATCH, ROUNDS = 20, 256, 7
WIDTH = 32  # the pipelines' own: the smaller the network, the larger the safeguards' share
FIELDS = BatchFields(inputs="inputs", target="target", row_id="row_id", groups={"sex": "sex", "race": "race"})


def overfitting() -> OverfittingGuard:
    return OverfittingGuard(fields=FIELDS, limits={"generalization_gap": Limit(at_most=0.2)})


def fairness() -> FairnessCheck:
    return FairnessCheck(fields=FIELDS, limits={"equalized_odds_difference": Limit(at_most=0.2)})


def attack() -> AdversarialEvaluation:
    return AdversarialEvaluation(
        fields=FIELDS, threat=ThreatModel(eps=0.1), limits={"robust_accuracy": Limit(at_least=0.5)}
    )


ARMS: dict[str, list[Callable[[], Callback]]] = {
    "bare": [],
    "overfitting + fairness": [overfitting, fairness],
    "overfitting + fairness + adversarial (pgd, 512 rows, 10 steps)": [overfitting, fairness, attack],
}


def measure() -> Result:
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    data = _rows(TRAINING, seed=0), _rows(VALIDATION, seed=1)
    costs: dict[str, list[Cost]] = {}
    _fit(ARMS["overfitting + fairness"], data, {}, epochs=1)
    contenders = {name: partial(_fit, made, data, costs) for name, made in ARMS.items()}
    found = in_rounds(contenders, times=ROUNDS)
    return Result(
        title="Fit with safeguards against the bare fit",
        target="overfitting and fairness together at most 1.02x; attacks as their own share",
        headings=("safeguards", "seconds, median (quartiles)", "against bare, median of the rounds", "interval"),
        rows=[_row(name, took, found["bare"]) for name, took in found.items()],
        notes=[
            f"{TRAINING:,} training and {VALIDATION:,} validation rows of {FEATURES} features (synthetic, of Adult's "
            f"size), {EPOCHS} epochs in batches of {BATCH}, a validation after each, one process. The perceptron has "
            f"two hidden layers of {WIDTH} units. {ROUNDS} rounds, in each every arm once; a ratio compares two fits "
            "of one round, and the interval is that of its median (sign test), with the confidence beside it.",
            "Each safeguard's own account, over all validations: "
            + "; ".join(_account(*each) for each in costs.items())
            + ". Per validation the overfitting guard reads and forwards 1,024 training rows, as much as four training "
            "batches, and both count every batch; fairlearn's second opinion comes once per fit and is in the seconds "
            "alone.",
        ],
    )


def _row(name: str, took: list[float], bare: list[float]) -> tuple[str, ...]:
    lower, middle, upper = quartiles(took)
    ratios = [one / other for one, other in zip(took, bare, strict=True)]
    low, high, surely = median_interval(ratios)
    between = f"{low:.3f}x to {high:.3f}x ({surely:.1%})"
    return name, f"{middle:.2f} ({lower:.2f} to {upper:.2f})", f"{quartiles(ratios)[1]:.3f}x", between


def _account(safeguard: str, costs: list[Cost]) -> str:
    """What one judgement took by the safeguard's own clock, and the share of the fit it came to at the end."""
    lower, middle, upper = quartiles([1000 * cost.seconds for cost in costs])
    shares = [cost.share_of_fit for cost in costs[EPOCHS - 1 :: EPOCHS] if cost.share_of_fit is not None]
    return (
        f"{safeguard} {middle:.1f} ms a validation ({lower:.1f} to {upper:.1f}), {quartiles(shares)[1]:.2%} of the fit"
    )


def _fit(
    made: list[Callable[[], Callback]], data: tuple[Rows, Rows], costs: dict[str, list[Cost]], epochs: int = EPOCHS
) -> float:
    """Seconds of one fit; what each verdict cost is added to ``costs``."""
    seed_everything(0, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            callbacks=[make() for make in made],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        loaders = DataLoader(data[0], batch_size=BATCH, shuffle=True), DataLoader(data[1], batch_size=BATCH)
        with contextlib.redirect_stdout(io.StringIO()):  # the table of verdicts
            took = seconds(lambda: trainer.fit(TabularNet(features=FEATURES, width=WIDTH), *loaders))
    assert len(verdicts(trainer)) == epochs * len(made), "a safeguard that does not judge costs nothing"
    for verdict in verdicts(trainer):
        if verdict.cost is not None:
            costs.setdefault(verdict.safeguard, []).append(verdict.cost)
    return took


def _rows(n: int, *, seed: int) -> Rows:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, FEATURES, generator=draw)
    target = (inputs[:, :8].sum(1) + torch.randn(n, generator=draw) > 0).long()
    sex = torch.randint(2, (n,), generator=draw).tolist()
    race = torch.randint(5, (n,), generator=draw).tolist()
    groups = {"sex": [("Female", "Male")[i] for i in sex], "race": [f"race {i}" for i in race]}
    return Rows(inputs=inputs, target=target, row_id=torch.arange(n), groups=groups)
