"""Attacks of the Adversarial Robustness Toolbox by class name, on a plain copy of the model.

ART is imported inside functions: it takes seconds.
"""

from __future__ import annotations

import difflib
import inspect
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from safeguards.adversarial.attacks import Attacked, fgsm
from safeguards.adversarial.attacks.ball import rows_shaped
from safeguards.adversarial.attacks.loss import LogitsOf, look, wrong
from safeguards.adversarial.plan import ATTACKS, AnyPlan
from safeguards.adversarial.record import Record, record
from safeguards.adversarial.threat import ThreatModel
from safeguards.core.errors import ConfigurationError, NotApplicable

__all__ = ["ArtPlan", "attack_class"]

ROUNDING = 1e-4  # of eps: how far float32 may carry an attack over it
OURS = {"eps": "threat=", "eps_step": "eps_step=", "norm": "threat=", "batch_size": "batch_size=", "targeted": "no"}


def attack_class(name: str) -> type:
    """The class of that name in ``art.attacks.evasion``. Raises `ConfigurationError` with the nearest names."""
    import art.attacks.evasion as evasion
    from art.attacks.attack import EvasionAttack

    known = {
        key: value
        for key, value in vars(evasion).items()
        if inspect.isclass(value) and issubclass(value, EvasionAttack)
    }
    if name not in known:
        near = difflib.get_close_matches(name, [*ATTACKS, *known], n=3, cutoff=0.4) or list(ATTACKS)
        raise ConfigurationError(f"AdversarialEvaluation(attack={name!r}): no such attack; nearest are {near}")
    return known[name]


@dataclass(frozen=True, kw_only=True)
class ArtPlan(AnyPlan):
    """An attack of ART; ``options`` go to its constructor beside what the threat gives.

    An attack that takes no eps looks for the nearest wrong place: one run tells for every eps, by distance. The random
    states are set from the first seed of each batch.
    """

    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = set(self._accepted()) - set(OURS)
        for name in self.options:
            if name in OURS:
                raise ConfigurationError(f"attack_options={{{name!r}: ...}}: not an option here, see {OURS[name]}")
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {sorted(known)}"
                raise ConfigurationError(f"{self.attack} has no option {name!r}: {hint}")

    @property
    def takes_eps(self) -> bool:
        """Whether the attack is told how far it may go."""
        return "eps" in self._accepted()

    single_step = False

    @property
    def step(self) -> float | None:
        """The length of a step over eps; None where the attack chooses it."""
        return self.share if "eps_step" in self._accepted() else None

    def describe(self) -> dict[str, Any]:
        """Plain values for a verdict's details."""
        effort = {"steps": self.steps, "restarts": self.restarts, "step_over_eps": self.step} if self.takes_eps else {}
        told = {"name": f"ART {self.attack}", **effort, "options": dict(self.options)}
        return {"attack": told, "threat": self.threat.describe()}

    @property
    def follows_gradients(self) -> bool:
        """Whether the attack needs the model's gradient at all."""
        needs = attack_class(self.attack)._estimator_requirements  # type: ignore[attr-defined]
        return any("Gradients" in need.__name__ for need in needs)

    def _batch(self, logits_of: LogitsOf, x: Tensor, y: Tensor, seeds: Tensor) -> Record:
        _seed_everything(int(seeds[0]))
        clean = look(logits_of, x)
        single = fgsm(logits_of, x, y, self.threat)
        space = Space(logits_of, self.threat, x, classes=2 if clean.ndim == 1 else clean.shape[1])
        found = [self._found(space, x, y, m) for m in (self.multiples if self.takes_eps else (math.inf,))]
        found = found if self.takes_eps else found * len(self.multiples)
        fallen = wrong(clean, y)
        attacks = [
            self._within(x, moved, multiple, single, fallen)
            for moved, multiple in zip(found, self.multiples, strict=True)
        ]
        return record(logits_of, x, y, clean, single, attacks, main=self.multiples.index(1.0))

    def _found(self, space: Space, x: Tensor, y: Tensor, multiple: float) -> Tensor:
        """Where the attack put each row, however far."""
        arguments = self._arguments(space.eps(multiple), len(x))
        with torch.enable_grad():
            attack = attack_class(self.attack)(space.classifier, **arguments)
            found = attack.generate(space.enter(x), y.cpu().numpy(), **space.mask())
        return space.leave(found, x)

    def _within(self, x: Tensor, found: Tensor, multiple: float, single: Attacked, fallen: Tensor) -> Attacked:
        """Rows that went too far, or to what are no numbers, go back to where they were."""
        found = torch.where(rows_shaped(found.flatten(1).isfinite().all(1), x), found, x)
        length = distance(self.threat, x, found)
        if bool(length.isnan().any()):
            raise NotApplicable(f"{self.attack} changes features that the threat model holds fixed: use pgd or apgd")
        near = rows_shaped(length <= multiple * (1 + ROUNDING), x)
        moved = (found != x).flatten(1).any(1) | fallen
        return Attacked(x=torch.where(near, found, x), sloped=single.sloped, steered=single.steered, moved=moved)

    def _arguments(self, eps: float, rows: int) -> dict[str, Any]:
        given: dict[str, Any] = {
            "norm": math.inf if self.threat.norm == "inf" else 2,
            "batch_size": rows,
            "targeted": False,
            "verbose": False,
        }
        if self.takes_eps:
            given |= {"eps": eps, "eps_step": eps * self.share, "nb_random_init": max(1, self.restarts)}
        accepted = self._accepted()
        if self.takes_eps and "max_iter" in accepted:
            given |= {"max_iter": self.steps, "num_random_init": self.restarts}
        return {name: value for name, value in given.items() if name in accepted} | dict(self.options)

    def _accepted(self) -> Mapping[str, Any]:
        return inspect.signature(attack_class(self.attack)).parameters


class Space:
    """Inputs as ART sees them: numpy float32, features with an eps of their own scaled so that one eps fits all."""

    def __init__(self, logits_of: LogitsOf, threat: ThreatModel, x: Tensor, *, classes: int) -> None:
        self.threat, reach = threat, threat.reach(x[0]).float()
        self.fixed = reach == 0
        self.scale = torch.where(self.fixed, 1.0, reach / threat.largest_eps)
        limits = threat.range(x[0])
        self.limits = None if limits is None else tuple((end / self.scale).cpu().numpy() for end in limits)
        self.classifier = self._classifier(logits_of, x, classes)

    def _classifier(self, logits_of: LogitsOf, x: Tensor, classes: int) -> Any:
        from art.estimators.classification import PyTorchClassifier

        finite = self.limits is not None and all(np.isfinite(end).all() for end in self.limits)
        return PyTorchClassifier(
            model=_Network(logits_of, self.scale, x.dtype),
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(x.shape[1:]),
            nb_classes=classes,
            clip_values=self.limits if finite else None,
            device_type="gpu" if x.is_cuda else "cpu",
        )

    def eps(self, multiple: float) -> float:
        """Eps in this space; for the whole range, a length that reaches from end to end."""
        if math.isfinite(multiple) or self.limits is None:
            return self.threat.largest_eps * multiple
        width = self.limits[1] - self.limits[0]
        return float(width.max() if self.threat.norm == "inf" else np.linalg.norm(width))

    def mask(self) -> dict[str, Any]:
        """The argument that holds features fixed, for the attacks that know it."""
        return {"mask": (~self.fixed).float().cpu().numpy()} if bool(self.fixed.any()) else {}

    def enter(self, x: Tensor) -> Any:
        return (x / self.scale).float().cpu().numpy()

    def leave(self, found: Any, x: Tensor) -> Tensor:
        """Back to the model's inputs; features that ART left alone get their exact value back."""
        back = torch.as_tensor(found, device=x.device).to(x) * self.scale.to(x)
        same = torch.as_tensor(found == self.enter(x), device=x.device)
        return torch.where(same, x, back)


class _Network(nn.Module):
    """The model as ART wants it: float32 or float64 in, logits of two or more classes out."""

    def __init__(self, logits_of: LogitsOf, scale: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self._logits_of, self._scale, self._dtype = logits_of, scale, dtype

    def forward(self, x: Tensor) -> Tensor:
        logits = self._logits_of((x * self._scale).to(self._dtype))
        return torch.stack([torch.zeros_like(logits), logits], dim=1) if logits.ndim == 1 else logits


def distance(threat: ThreatModel, x: Tensor, found: Tensor) -> Tensor:
    """How far each row (N,) went, in units of eps; NaN where a fixed feature changed."""
    reach, change = threat.reach(x[0]), (found - x).abs()
    relative = torch.where(change > 0, change / reach, 0.0).flatten(1)
    length = relative.amax(1) if threat.norm == "inf" else relative.norm(dim=1)
    return torch.where(length.isinf(), math.nan, length)


def _seed_everything(seed: int) -> None:
    """ART draws from the global generators; whoever watches puts them back."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
