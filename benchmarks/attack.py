"""PGD on one model and one budget: this library, a plain loop, ART, torchattacks and foolbox.

The last two are compared where they are found. They are in no extra, because torchattacks holds requests at 2.25 and
Evidently needs 2.32; it runs with the newer one, from beside the environment:

    pip install --no-deps --target build/rivals torchattacks==3.5.1 foolbox==3.3.4 eagerpy==0.30.0
    PYTHONPATH=build/rivals python -m benchmarks.run attack
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.timing import Result, in_turns, seconds
from pipelines.data import Digits
from pipelines.models import ImageNet8
from safeguards import ThreatModel
from safeguards.adversarial.attacks import Runs, pgd
from safeguards.adversarial.attacks.ball import ball_around

EPS, STEPS, STEP, ROUNDS = 0.1, 10, 0.025, 11
CALLS = 5  # in a row, after one that is not timed: a call after another library's finds the caches cold
SEEDS = 10  # one alone is not enough: other random starts move robust accuracy by a point
ROWS, TRAINING_STEPS = 1024, 400
THREAT = ThreatModel(eps=EPS, clip=(0.0, 1.0))
Attack = Callable[[Tensor, Tensor], Tensor]


def ours(model: nn.Module, seed: int = 0) -> Attack:
    """As the safeguard attacks: the parameters are frozen before, and each row has a seed of its own."""
    frozen, runs = copy.deepcopy(model).requires_grad_(False), _runs(seed)
    return lambda x, y: pgd(frozen, x, y, THREAT, runs=runs, share=STEP / EPS).x


def _runs(seed: int) -> Runs:
    return Runs(seeds=torch.arange(ROWS) + seed * ROWS, steps=STEPS, restarts=1)


def plain(model: nn.Module) -> Attack:
    frozen = copy.deepcopy(model).requires_grad_(False)
    return lambda x, y: _plain(frozen, x, y, x + torch.empty_like(x).uniform_(-EPS, EPS))


def _plain(model: nn.Module, x: Tensor, y: Tensor, start: Tensor) -> Tensor:
    """The loop that anybody would write."""
    low, high = (x - EPS).clamp_min(0), (x + EPS).clamp_max(1)
    at = start.clamp(low, high)
    for _ in range(STEPS):
        at.requires_grad_()
        (gradient,) = torch.autograd.grad(functional.cross_entropy(model(at), y), at)
        at = (at.detach() + STEP * gradient.sign()).clamp(low, high)
    return at


def art(model: nn.Module) -> Attack:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0.0, 1.0), device_type="cpu"
    )
    attack = ProjectedGradientDescentPyTorch(
        classifier, eps=EPS, eps_step=STEP, max_iter=STEPS, num_random_init=1, batch_size=ROWS, verbose=False
    )
    return lambda x, y: torch.from_numpy(np.asarray(attack.generate(x.numpy(), y.numpy())))


def torchattacks(model: nn.Module) -> Attack:
    import torchattacks as library

    attack: Attack = library.PGD(model, eps=EPS, alpha=STEP, steps=STEPS, random_start=True)
    return attack


def foolbox(model: nn.Module) -> Attack:
    import foolbox as library

    wrapped = library.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = library.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=True)
    return lambda x, y: attack(wrapped, x, y, epsilons=EPS)[1]


ATTACKS: dict[str, tuple[Callable[[nn.Module], Attack], str]] = {
    "plain loop": (plain, "torch"),
    "safeguards": (ours, "safeguards"),
    "torchattacks": (torchattacks, "torchattacks"),
    "foolbox": (foolbox, "foolbox"),
    "ART": (art, "art"),
}


def measure() -> Result:
    here = {name: made for name, (made, package) in ATTACKS.items() if find_spec(package)}
    absent = [name for name in ATTACKS if name not in here]
    rows: list[tuple[str, ...]] = []
    notes = [
        f"eps {EPS}, step {STEP}, range 0 to 1, digits of 8 x 8 pixels; median of {ROUNDS} in turns, in each {CALLS} "
        "calls in a row after one that is not timed; torch chooses how many threads. What an attack is made of, such "
        "as ART's classifier, the threat model, the seeds of rows and, for the plain loop and safeguards, the model "
        "with frozen parameters, is made once, before the clock runs.",
        f"Robust accuracy is the mean of {SEEDS} attacks with other random starts, with the lowest and the highest: "
        "by the starts alone two attacks of the same strength differ.",
    ]
    for kind, model, x, y in (("CNN", *_cnn()), ("MLP", *_mlp())):
        attacks = {name: made(copy.deepcopy(model)) for name, made in here.items()}
        rows += _compare(kind, attacks, model, x, y)
        notes.append(f"{kind}: {_from_the_same_starts(model, x, y)}")
    return Result(
        title=f"PGD, {STEPS} steps, {ROWS} rows, one random start",
        target="at most 1.1x the plain loop with frozen parameters, same robust accuracy within 0.5 points",
        headings=("model", "attack", "milliseconds", "against plain", "robust accuracy, points"),
        rows=rows,
        notes=[*notes, *([f"Not installed, hence not compared: {', '.join(absent)}."] if absent else [])],
    )


def _compare(kind: str, attacks: dict[str, Attack], model: nn.Module, x: Tensor, y: Tensor) -> list[tuple[str, ...]]:
    accuracy = {name: [_accuracy(model, attack(x, y), y) for _ in range(SEEDS)] for name, attack in attacks.items()}
    accuracy["safeguards"] = [_accuracy(model, ours(model, seed)(x, y), y) for seed in range(SEEDS)]
    took = in_turns({name: _timed(attack, x, y) for name, attack in attacks.items()}, times=ROUNDS)
    return [
        (
            kind,
            name,
            f"{1000 * took[name]:.1f}",
            f"{took[name] / took['plain loop']:.2f}x",
            f"{statistics.mean(accuracy[name]):.1f} ({min(accuracy[name]):.1f} to {max(accuracy[name]):.1f})",
        )
        for name in attacks
    ]


def _from_the_same_starts(model: nn.Module, x: Tensor, y: Tensor) -> str:
    """What chance cannot decide: rows that stand against one of the two loops only."""
    model = copy.deepcopy(model).requires_grad_(False)
    ball, only_ours, only_plain = ball_around(x, THREAT), 0, 0
    for seed in range(SEEDS):
        (start,) = _runs(seed).starts(ball)
        stood = _stands(model, ours(model, seed)(x, y), y), _stands(model, _plain(model, x, y, start), y)
        only_ours += int((stood[0] & ~stood[1]).sum())
        only_plain += int((stood[1] & ~stood[0]).sum())
    points = 100 * (only_ours - only_plain) / (SEEDS * len(x))
    return (
        f"from the same starts {only_ours} of {SEEDS * len(x):,} rows stand against safeguards alone and {only_plain} "
        f"against the plain loop alone: {points:+.2f} points of robust accuracy."
    )


def _timed(attack: Attack, x: Tensor, y: Tensor) -> Callable[[], float]:
    def calls() -> None:
        for _ in range(CALLS):
            attack(x, y)

    def turn() -> float:
        attack(x, y)
        return seconds(calls) / CALLS

    return turn


def _accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return 100 * float(_stands(model, x, y).float().mean())


def _stands(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(1) == y


def _cnn() -> tuple[nn.Module, Tensor, Tensor]:
    return _trained(ImageNet8(channels=32).network)


def _mlp() -> tuple[nn.Module, Tensor, Tensor]:
    return _trained(nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)))


def _trained(model: nn.Module) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    rows = Digits().rows("train")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(TRAINING_STEPS // 10):
        for part in torch.randperm(len(rows)).split(100):
            optimizer.zero_grad()
            functional.cross_entropy(model(rows.inputs[part]), rows.target[part]).backward()
            optimizer.step()
    return model.eval(), rows.inputs[:ROWS], rows.target[:ROWS]
