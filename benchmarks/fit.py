"""A fit with safeguards against the bare fit, on rows as many and as wide as the Adult census."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable

import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from torch.utils.data import DataLoader

from benchmarks.timing import Result, in_turns, seconds
from pipelines.data.rows import Rows
from pipelines.models import TabularNet
from safeguards import AdversarialEvaluation, BatchFields, FairnessCheck, Limit, OverfittingGuard, ThreatModel, verdicts

TRAINING, VALIDATION, FEATURES = 32_561, 16_281, 107  # Adult: its two parts, its columns encoded
EPOCHS, BATCH, ROUNDS = 5, 256, 3
WIDTHS = (32, 512)
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
    "overfitting": [overfitting],
    "fairness": [fairness],
    "overfitting + fairness": [overfitting, fairness],
    "adversarial (pgd, 512 rows, 10 steps)": [attack],
}


def measure() -> Result:
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    training, validation = _rows(TRAINING, seed=0), _rows(VALIDATION, seed=1)
    rows = [row for width in WIDTHS for row in _compare(width, training, validation)]
    return Result(
        title="Fit with safeguards against the bare fit",
        target="overfitting and fairness together at most 1.02x; attacks as their own share",
        headings=("hidden units", "safeguards", "seconds", "against bare"),
        rows=rows,
        notes=[
            f"{TRAINING:,} training and {VALIDATION:,} validation rows of {FEATURES} features (synthetic, of Adult's "
            f"size), {EPOCHS} epochs in batches of {BATCH}, a validation after each, one process, median of {ROUNDS} "
            "in turns. The perceptron has two hidden layers of that many units.",
            "Per validation: the overfitting guard reads and forwards 1,024 training rows, as much as four training "
            "batches, and both count every batch; once per fit fairlearn's second opinion. The smaller the network, "
            "the larger their share.",
        ],
    )


def _compare(width: int, training: Rows, validation: Rows) -> list[tuple[str, ...]]:
    contenders = {name: (lambda made=made: _fit(made, width, training, validation)) for name, made in ARMS.items()}
    _fit([overfitting, fairness, attack], width, training, validation)
    found = in_turns(contenders, times=ROUNDS)
    return [(f"{width}", name, f"{took:.2f}", f"{took / found['bare']:.3f}x") for name, took in found.items()]


def _fit(made: list[Callable[[], Callback]], width: int, training: Rows, validation: Rows) -> float:
    seed_everything(0, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=EPOCHS,
            callbacks=[make() for make in made],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        loaders = DataLoader(training, batch_size=BATCH, shuffle=True), DataLoader(validation, batch_size=BATCH)
        with contextlib.redirect_stdout(io.StringIO()):  # the table of verdicts
            took = seconds(lambda: trainer.fit(TabularNet(features=FEATURES, width=width), *loaders))
    assert len(verdicts(trainer)) == EPOCHS * len(made), "a safeguard that does not judge costs nothing"
    return took


def _rows(n: int, *, seed: int) -> Rows:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, FEATURES, generator=draw)
    target = (inputs[:, :8].sum(1) + torch.randn(n, generator=draw) > 0).long()
    sex = torch.randint(2, (n,), generator=draw).tolist()
    race = torch.randint(5, (n,), generator=draw).tolist()
    groups = {"sex": [("Female", "Male")[i] for i in sex], "race": [f"race {i}" for i in race]}
    return Rows(inputs=inputs, target=target, row_id=torch.arange(n), groups=groups)
