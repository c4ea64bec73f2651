"""PGD on one model and one budget: this library, a plain loop, ART, torchattacks and foolbox.

The last two are compared where they are found. They are in no extra, because torchattacks holds requests at 2.25 and
Evidently needs 2.32; it runs with the newer one, from beside the environment:

    pip install --no-deps --target build/rivals torchattacks==3.5.1 foolbox==3.3.4 eagerpy==0.30.0
    PYTHONPATH=build/rivals python -m benchmarks.run attack
"""

from __future__ import annotations

import copy
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

EPS, STEPS, STEP, ROUNDS = 0.1, 10, 0.025, 11
CALLS = 5  # in a row, after one that is not timed: a call after another library's finds the caches cold
ROWS, TRAINING_STEPS = 1024, 400
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def ours(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    seeds, threat = torch.arange(len(x)), ThreatModel(eps=EPS, clip=(0.0, 1.0))
    return pgd(model, x, y, threat, runs=Runs(seeds=seeds, steps=STEPS, restarts=1), share=STEP / EPS).x


def plain(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The loop that anybody would write, with the parameters frozen."""
    flags = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(False)
    low, high = (x - EPS).clamp_min(0), (x + EPS).clamp_max(1)
    at = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(low, high)
    for _ in range(STEPS):
        at.requires_grad_()
        (gradient,) = torch.autograd.grad(functional.cross_entropy(model(at), y), at)
        at = (at.detach() + STEP * gradient.sign()).clamp(low, high)
    for parameter, flag in zip(model.parameters(), flags, strict=True):
        parameter.requires_grad_(flag)
    return at


def art(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0.0, 1.0), device_type="cpu"
    )
    attack = ProjectedGradientDescentPyTorch(
        classifier, eps=EPS, eps_step=STEP, max_iter=STEPS, num_random_init=1, batch_size=len(x), verbose=False
    )
    return torch.from_numpy(np.asarray(attack.generate(x.numpy(), y.numpy())))


def torchattacks(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import torchattacks as library

    return library.PGD(model, eps=EPS, alpha=STEP, steps=STEPS, random_start=True)(x, y)


def foolbox(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import foolbox as library

    wrapped = library.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = library.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=True)
    return attack(wrapped, x, y, epsilons=EPS)[1]


ATTACKS: dict[str, tuple[Attack, str]] = {
    "plain loop": (plain, "torch"),
    "safeguards": (ours, "safeguards"),
    "torchattacks": (torchattacks, "torchattacks"),
    "foolbox": (foolbox, "foolbox"),
    "ART": (art, "art"),
}


def measure() -> Result:
    here = {name: attack for name, (attack, package) in ATTACKS.items() if find_spec(package)}
    absent = [name for name in ATTACKS if name not in here]
    rows: list[tuple[str, ...]] = []
    for kind, model, x, y in (("CNN", *_cnn()), ("MLP", *_mlp())):
        rows += _compare(kind, model, x, y, here)
    return Result(
        title=f"PGD, {STEPS} steps, {ROWS} rows, one random start",
        target="at most 1.1x the plain loop with frozen parameters, same robust accuracy within 0.5 points",
        headings=("model", "attack", "milliseconds", "against plain", "robust accuracy, points"),
        rows=rows,
        notes=[
            f"eps {EPS}, step {STEP}, range 0 to 1, digits of 8 x 8 pixels; median of {ROUNDS} in turns, in each "
            f"{CALLS} calls in a row after one that is not timed; torch chooses how many threads. Random starts differ "
            "between libraries.",
            *([f"Not installed, hence not compared: {', '.join(absent)}."] if absent else []),
        ],
    )


def _compare(kind: str, model: nn.Module, x: Tensor, y: Tensor, here: dict[str, Attack]) -> list[tuple[str, ...]]:
    alone = {name: copy.deepcopy(model) for name in here}
    accuracy = {name: _accuracy(model, attack(alone[name], x, y), y) for name, attack in here.items()}
    took = in_turns({name: _timed(attack, alone[name], x, y) for name, attack in here.items()}, times=ROUNDS)
    return [
        (kind, name, f"{1000 * took[name]:.1f}", f"{took[name] / took['plain loop']:.2f}x", f"{accuracy[name]:.1f}")
        for name in here
    ]


def _timed(attack: Attack, model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], float]:
    def calls() -> None:
        for _ in range(CALLS):
            attack(model, x, y)

    def turn() -> float:
        attack(model, x, y)
        return seconds(calls) / CALLS

    return turn


def _accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return 100 * float((model(x).argmax(1) == y).float().mean())


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
