"""Is the model brittle under attack? A bounded sample of rows, attacked at the end of each validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import torch

from safeguards.adversarial.art_engine import ArtPlan
from safeguards.adversarial.effort import Effort
from safeguards.adversarial.judging import Asked, judged
from safeguards.adversarial.plan import ATTACKS, WHOLE_RANGE, Plan, whole_range_unreachable
from safeguards.adversarial.replica import copy_bytes
from safeguards.adversarial.sample import Chosen, Item, offer, settle
from safeguards.adversarial.threat import ThreatModel
from safeguards.core.arguments import check_shares, check_whole
from safeguards.core.errors import ConfigurationError
from safeguards.core.intervals import alpha_of_look
from safeguards.core.rows import Sample
from safeguards.core.safeguard import Safeguard, SafeguardOptions
from safeguards.core.verdict import Measurement

if TYPE_CHECKING:
    from safeguards.core.batch import BatchFields
    from safeguards.core.rows import Rows
    from safeguards.core.scene import Scene

__all__ = ["AdversarialEvaluation"]

MEASURE = "robust_accuracy"
CURVE = (0.5, 2.0)


class AdversarialEvaluation(Safeguard):
    """Attacks a bounded sample of validation rows and measures how many the model still gets right.

    Measure: ``robust_accuracy``, the share of sampled rows that are right and stay right under the attack (1: none
    breaks, 0: all are wrong or break). It is an upper bound on what a stronger attacker would leave, so attacks that
    fail a check (`safeguards.adversarial.trust`) are INCONCLUSIVE.

    ``attack`` is ``"fgsm"``, ``"pgd"`` or ``"apgd"``, which run on the live model, or the name of a class in
    ``art.attacks.evasion``, which runs on a plain copy and takes ``attack_options``. ``samples`` rows are chosen by a
    hash of their identity and ``seed``. ``steps`` and ``restarts`` (random starts; 0: from the row itself) are the
    effort; ``eps_step`` is the step of PGD in the unit of ``threat.eps`` (of its largest, where features differ), by
    default 2.5 * eps / steps. ``eps_curve`` lists multiples of eps at which to attack too. ``batch_size`` is in rows.
    An ART attack needs a copy of the weights: above ``replica_max_bytes`` the verdict is INCONCLUSIVE. The intervals of
    all looks of a fit hold together with probability 1 - ``alpha``. The rest are the options of every safeguard
    (`SafeguardOptions`). Raises `ConfigurationError` for arguments that make no sense.
    """

    topic = "adversarial"
    measures = (MEASURE,)
    judged_by = ("alpha",)
    reads_outputs = False

    def __init__(
        self,
        *,
        fields: BatchFields,
        threat: ThreatModel,
        attack: str = "pgd",
        samples: int = 512,
        steps: int = 10,
        restarts: int = 1,
        eps_step: float | None = None,
        eps_curve: Sequence[float] | None = None,
        attack_options: Mapping[str, Any] | None = None,
        seed: int = 0,
        batch_size: int = 128,
        replica_max_bytes: int = 2**31,
        alpha: float = 0.05,
        **options: Unpack[SafeguardOptions],
    ) -> None:
        super().__init__(fields=fields, **options)
        if not isinstance(threat, ThreatModel):
            raise ConfigurationError(f"AdversarialEvaluation(threat={threat!r}): expected a ThreatModel(eps=...)")
        if fields.target is None:
            raise ConfigurationError(
                "AdversarialEvaluation needs a target, as in fields=BatchFields(inputs=0, target=1)"
            )
        self.threat, self.attack, self.seed = threat, attack, seed
        check_whole(self, 1, samples=samples, batch_size=batch_size, steps=steps, replica_max_bytes=replica_max_bytes)
        check_whole(self, 0, restarts=restarts)
        check_shares(self, alpha=alpha)
        self.samples, self.batch_size, self.replica_max_bytes = samples, batch_size, replica_max_bytes
        self.steps, self.restarts, self.alpha = steps, restarts, alpha
        self.multiples = _multiples(CURVE if eps_curve is None else eps_curve)
        self.share = _share(eps_step, threat, steps)
        self.attack_options = dict(attack_options or {})
        self._plan()

    def _plan(self) -> Plan | ArtPlan:
        asked: dict[str, Any] = {
            "attack": self.attack,
            "threat": self.threat,
            "multiples": self.multiples,
            "steps": self.steps,
            "restarts": self.restarts,
            "share": self.share,
        }
        if self.attack not in ATTACKS:
            return ArtPlan(**asked, options=self.attack_options)
        if self.attack_options:
            raise ConfigurationError(f"attack_options={self.attack_options!r}: {self.attack} takes none, see steps=")
        return Plan(**asked)

    def prepare(self, scene: Scene) -> Sample[Item]:
        """An empty sample."""
        return Sample(k=self.samples, seed=self.seed)

    def observe(self, seen: Sample[Item], rows: Rows, scene: Scene) -> None:
        """Keep the rows of the batch that belong to the sample."""
        offer(seen, rows)

    def examine(self, seen: Sample[Item], scene: Scene) -> dict[str, Measurement]:
        """Attack the sample, all ranks in step, and judge what stands."""
        seen.k = scene.rows_within_budget(self.samples)
        chosen = settle(seen, scene.ranks, scene.module.device)
        if not chosen.total:
            return _nothing(f"all {len(chosen.invalid)} sampled rows hold NaN or infinite inputs")
        plan, size = self._plan(), copy_bytes(scene.module)
        if isinstance(plan, ArtPlan) and size > self.replica_max_bytes:
            return _nothing(
                f"{self.attack} needs a plain copy of {size:,} bytes, replica_max_bytes allows "
                f"{self.replica_max_bytes:,}: raise it, or use pgd or apgd"
            )
        return {MEASURE: self._attacked(plan, chosen, scene)}

    def _attacked(self, plan: Plan | ArtPlan, chosen: Chosen, scene: Scene) -> Measurement:
        row = chosen.padded().x[0]
        unreachable = whole_range_unreachable(self.threat, row)
        if unreachable is None:
            plan = replace(plan, multiples=(*plan.multiples, WHOLE_RANGE))
        outside = self.threat.outside(chosen.x, row)
        effort = Effort(scene=scene, seed=self.seed, batch_size=self.batch_size)
        record = effort.on_copy(plan, chosen) if isinstance(plan, ArtPlan) else effort.on_live_model(plan, chosen)
        asked = Asked(
            multiples=plan.multiples,
            eps=self.threat.largest_eps,
            step=plan.step,
            single_step=plan.single_step,
            follows_gradients=plan.follows_gradients,
            unreachable=unreachable,
            outside=None if outside is None else int(scene.ranks.sum(torch.tensor([outside]))[0]),
        )
        found = judged(record, asked, invalid=chosen.invalid, alpha=alpha_of_look(self.alpha, scene.look))
        return replace(found, details={**found.details, **plan.describe(), "rows_digest": chosen.digest})


def _nothing(why: str) -> dict[str, Measurement]:
    return {MEASURE: Measurement(value=math.nan, n=0, insufficient=why)}


def _multiples(curve: Sequence[float]) -> tuple[float, ...]:
    """The multiples of eps to attack at, in increasing order; 1 is always among them."""
    if not all(isinstance(m, (int, float)) and 0 < m < math.inf for m in curve):
        raise ConfigurationError(f"AdversarialEvaluation(eps_curve={curve!r}): expected multiples of eps, above 0")
    return tuple(sorted({1.0, *map(float, curve)}))


def _share(eps_step: float | None, threat: ThreatModel, steps: int) -> float:
    """A step over eps. Madry's 2.5 / steps lets a row cross its ball and come back, and is at most the whole of it."""
    if eps_step is None:
        return min(1.0, 2.5 / steps)
    eps = threat.largest_eps
    if not 0 < eps_step <= eps:
        raise ConfigurationError(
            f"AdversarialEvaluation(eps_step={eps_step!r}): expected above 0 and at most eps={eps:g}; "
            "longer steps jump over the ball and make a weaker attack"
        )
    return eps_step / eps
