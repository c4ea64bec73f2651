"""Modules in a style that is not this project's, with the four safeguards added and nothing else changed."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from fairlearn.metrics import demographic_parity_difference
from scipy.stats import chi2_contingency, ks_2samp
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import safeguards.deepspeed  # noqa: F401 - registers the strategies
from safeguards import BatchFields, ThreatModel, verdicts
from safeguards.deepspeed.weights import full_state_dict
from tests.helpers.four import four
from tests.helpers.toys import rows, trainer

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
N, TRAINING, EPS = 57, 96, 0.3
SHIFT = 3.0
"""Added to the first feature of the validation rows: it has drifted, the others have not."""
SEX = np.array(["f" if i % 3 else "m" for i in range(N)])
loss_of = nn.functional.cross_entropy


class Tuples(pl.LightningModule):
    """Unpacks exactly ``x, y = batch``."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.Tanh())
        self.head = nn.Linear(16, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(features))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        return loss_of(self(x), y)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val_acc", (self(x).argmax(1) == y).float().mean(), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 0.01)


class Dicts(Tuples):
    """A dict batch; the step returns only a loss."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return loss_of(self(batch["features"]), batch["label"])

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return loss_of(self(batch["features"]), batch["label"])


class NoForward(pl.LightningModule):
    """Has a network and two steps, and no ``forward`` at all."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(4, 1)

    def shared(self, batch: Any) -> Any:
        return nn.functional.binary_cross_entropy_with_logits(self.network(batch[0])[:, 0], batch[1].float())

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.shared(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self.shared(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


class Manual(Tuples):
    """BatchNorm, dropout and manual optimisation."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.body = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


class Records(Dataset[dict[str, Any]]):
    """Rows as dicts that carry the attribute."""

    def __init__(self, data: TensorDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> dict[str, Any]:
        x, y = self.data[i]
        return {"features": x, "label": y, "sex": "f" if i % 3 else "m"}


BESIDE = BatchFields(inputs=0, target=1, groups={"sex": SEX})
INSIDE = BatchFields(inputs="features", target="label", groups={"sex": "sex"})
STYLES: dict[str, tuple[type[pl.LightningModule], BatchFields, dict[str, Any]]] = {
    "tuples": (Tuples, BESIDE, {}),
    "dicts": (Dicts, INSIDE, {"outputs_of": ""}),
    "no forward": (NoForward, BESIDE, {"predict": lambda module, x: module.network(x)}),
    "manual": (Manual, BESIDE, {}),
}
FGSM = {"attack": "fgsm", "threat": ThreatModel(eps=EPS), "eps_curve": [1.0]}


def judged(strategy: str, style: str) -> dict[str, Any]:
    """The four verdicts after an epoch, and the same numbers from a plain computation over all rows at once."""
    pl.seed_everything(5, verbose=False)
    kind, fields, options = STYLES[style]
    training, validation = rows(TRAINING, seed=3), rows(N)
    validation.tensors[0][:, 0] += SHIFT
    wrap = Records if style == "dicts" else lambda data: data
    module = kind()
    with tempfile.TemporaryDirectory() as root:
        watching = four(own={"adversarial": FGSM}, fields=fields, **options)
        job = trainer(root, *watching, strategy=strategy, devices=WORLD, max_epochs=1)
        job.fit(module, DataLoader(wrap(training), batch_size=8), DataLoader(wrap(validation), batch_size=8))
    models = Spread([copy_of(kind, state) for state in gathered(full_state_dict(module))], options.get("predict"))
    found = {verdict.measure: verdict for verdict in verdicts(job)}
    return {
        "found": {measure: verdict.value for measure, verdict in found.items()},
        "n": {measure: verdict.n for measure, verdict in found.items()},
        "reasons": {measure: f"{verdict.outcome} {verdict.reason}" for measure, verdict in found.items()},
        "expected": expected(models, training, validation),
        "drift": found["drifted_share"].to_dict()["details"],
        "scores": scores(training, validation),
        "drifted": drifted(models, training, validation),
    }


class Spread:
    """The model of every rank on its own rows: every world-th. Batch norm leaves each rank statistics of its own."""

    def __init__(self, models: list[Any], predict: Any) -> None:
        self.models, self.predict = models, predict

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.stack([self.outputs(x, model) for model in self.models])
        return rows[torch.arange(len(x)) % len(self.models), torch.arange(len(x))]

    def outputs(self, x: torch.Tensor, model: Any) -> torch.Tensor:
        """Two logits per row, whatever the module gives."""
        raw = self.predict(model, x) if self.predict else model(x)
        return torch.cat([torch.zeros_like(raw), raw], dim=1) if raw.shape[1] == 1 else raw


def copy_of(kind: type[Any], state: dict[str, torch.Tensor]) -> Any:
    plain = kind()
    plain.load_state_dict(state)
    return plain.eval()


def gathered(state: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """The weights and buffers of every rank."""
    states: list[Any] = [state] * WORLD
    if WORLD > 1:
        torch.distributed.all_gather_object(states, state)
    return states


def expected(models: Spread, training: TensorDataset, validation: TensorDataset) -> dict[str, float]:
    """Every number by the shortest way, from the weights and all rows."""
    (x, y), (tx, ty) = validation.tensors, training.tensors
    with torch.no_grad():
        said = models(x).argmax(1)
        gap = loss_of(models(x), y) - loss_of(models(tx), ty)
    moving = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss_of(models(moving), y, reduction="sum"), moving)
    with torch.no_grad():
        attacked = models(x + EPS * slope.sign()).argmax(1)
    return {
        "generalization_gap": float(gap),
        "demographic_parity_difference": float(demographic_parity_difference(y, said, sensitive_features=SEX)),
        "robust_accuracy": float(((said == y) & (attacked == y)).double().mean()),
    }


def scores(training: TensorDataset, validation: TensorDataset) -> dict[str, float]:
    """Kolmogorov and Smirnov's distance of each feature between training and validation."""
    x, tx = validation.tensors[0].numpy(), training.tensors[0].numpy()
    return {str(i): float(ks_2samp(tx[:, i], x[:, i]).statistic) for i in range(x.shape[1])}


def drifted(models: Spread, training: TensorDataset, validation: TensorDataset) -> list[bool]:
    """Whether each feature, the predicted class and its score drifted, by the shortest way.

    A p is multiplied by the comparisons of its column: of gaps and values, for words of unseen values too. No value is
    missing or unseen here, so the others never reject.
    """
    then, now = (data.tensors[0] for data in (training, validation))
    with torch.no_grad():
        said = [models(x).softmax(1).max(1) for x in (then, now)]
    features = [two_sides(a, b) for a, b in zip(then.T, now.T, strict=True)]
    scores = two_sides(*(side.values.round(decimals=5) for side in said))
    table = np.stack([np.bincount(side.indices, minlength=2) for side in said])
    share = table / table.sum(1, keepdims=True)
    pooled = table.sum(0) / table.sum()
    chance = np.sqrt(2 / np.pi * pooled * (1 - pooled) * (1 / TRAINING + 1 / N)).sum() / 2
    far = table.sum(0).all() and np.abs(share[0] - share[1]).sum() / 2 - chance >= 0.1
    classes = min(1.0, 3 * chi2_contingency(table, correction=False).pvalue) if far else 1.0
    level = 0.05 / 2 * 6 / np.pi**2  # of the first look, for each of inputs and predictions
    return [*rejected(features, level), *rejected([classes, scores], level)]


def two_sides(then: torch.Tensor, now: torch.Tensor) -> float:
    """The p of a column of numbers; 1 where the distance does not matter."""
    found = ks_2samp(then.numpy(), now.numpy())
    return min(1.0, 2 * float(found.pvalue)) if found.statistic >= 0.1 else 1.0


def rejected(p: list[float], level: float) -> list[bool]:
    """Benjamini and Hochberg's step-up procedure, as they wrote it."""
    order = sorted(p)
    under = [value for rank, value in enumerate(order, 1) if value <= rank / len(p) * level]
    return [bool(value <= max(under, default=-1.0)) for value in p]


def every_style(strategy: str) -> dict[str, dict[str, Any]]:
    """All modules under one strategy, in one process group."""
    return {style: judged(strategy, style) for style in STYLES}
