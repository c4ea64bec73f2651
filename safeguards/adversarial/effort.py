"""Running a plan on the rows of all processes: in step on the live model, or apart from it on a plain copy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from safeguards.adversarial.art_engine import ArtPlan
from safeguards.adversarial.attacks.loss import LogitsOf, look
from safeguards.adversarial.plan import AnyPlan, Plan
from safeguards.adversarial.record import Record, joined
from safeguards.adversarial.replica import check_equal, plain_copy, whole_weights
from safeguards.adversarial.sample import Chosen
from safeguards.core.errors import NotApplicable
from safeguards.core.identity import mix
from safeguards.core.predictions import Unsaid, as_logits, forward

if TYPE_CHECKING:
    from safeguards.core.scene import Scene

__all__ = ["Effort"]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Where, with which random starts and in batches of how many rows a plan runs."""

    scene: Scene
    seed: int
    batch_size: int

    def on_live_model(self, plan: Plan, chosen: Chosen) -> Record:
        """All ranks make the same number of forwards on the same number of rows: under ZeRO-3 each is a collective."""
        rows, ranks, module = chosen.padded(), self.scene.ranks, self.scene.module
        module.requires_grad_(False)
        ranks.together(lambda: self._check(rows, module))
        forwards = plan.forwards_per_row * math.ceil(len(rows.x) / self.batch_size)
        with self.scene.progress(f"{plan.attack} attack", forwards) as told:
            own = ranks.together(lambda: self._run(plan, module, rows, told))
        return joined(ranks.gather(own.first(len(chosen.x))))

    def on_copy(self, plan: ArtPlan, chosen: Chosen) -> Record:
        """Batches of the same rows whatever the number of processes, dealt out to them; no communication in between."""
        ranks, copied = self.scene.ranks, self._copy(chosen)
        rows = chosen.everywhere(ranks, self.seed)
        ranks.together(lambda: self._check(rows, copied))
        starts = range(0, len(rows.x), self.batch_size)[ranks.rank :: ranks.world]
        batches = [rows.part(start, start + self.batch_size) for start in starts]
        with self.scene.progress(f"{plan.attack} attack") as told:
            own = ranks.together(lambda: [self._run(plan, copied, batch, told) for batch in batches])
        return joined([record for part in ranks.gather(own) for record in part])

    def _copy(self, chosen: Chosen) -> nn.Module:
        scene, batch = self.scene, chosen.padded().part(0, self.batch_size)
        weights = whole_weights(scene.module, partitioned=scene.partitioned)
        copied = scene.ranks.together(lambda: plain_copy(scene.module, weights))
        live = look(self._logits_of(scene.module, batch), batch.x)
        scene.ranks.together(lambda: check_equal(live, look(self._logits_of(copied, batch), batch.x)))
        return copied

    def _run(self, plan: AnyPlan, module: nn.Module, rows: Chosen, told: Callable[[], None]) -> Record:
        half = rows.x.dtype in (torch.float16, torch.bfloat16)
        x, seeds = rows.x.float() if half else rows.x, mix(rows.ids, self.seed)
        return plan.run(self._logits_of(module, rows, told), x, rows.y, seeds, batch_size=self.batch_size)

    def _logits_of(self, module: Any, rows: Chosen, told: Callable[[], None] = lambda: None) -> LogitsOf:
        """Outputs as logits; that they look like ones is checked once, not in every step. Each forward is told."""
        how, dtype = self.scene.how, rows.x.dtype

        def logits_of(x: Tensor) -> Tensor:
            raw = forward(self.scene.trainer, module, x.to(dtype), how)
            told()
            return as_logits(raw, len(x), how.output or "logits")

        return logits_of

    def _check(self, rows: Chosen, module: Any) -> None:
        """Raise `NotApplicable` unless outputs and classes fit each other; one forward."""
        first, how = rows.part(0, self.batch_size), self.scene.how
        with torch.no_grad():
            logits = as_logits(forward(self.scene.trainer, module, first.x, how), len(first.x), how.output)
        classes = 2 if logits.ndim == 1 else logits.shape[1]
        if classes < 2 or bool(((rows.y < 0) | (rows.y >= classes)).any()):
            seen = sorted(set(rows.y.tolist()))[:10]
            raise NotApplicable(f"the model has {classes} classes, the target has {seen}: expected 0 to {classes - 1}")
        if logits.ndim == 1 and how.output is None:
            unsaid = Unsaid()
            unsaid.note(logits, 0)
            unsaid.doubt()
