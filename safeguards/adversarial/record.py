"""What happened to each attacked row, in the same form for every engine, so that ranks only exchange flags.

Legend: N rows, C classes (1 for a single logit), K attacks in the order of a plan's multiples of eps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeguards.adversarial.attacks.loss import LogitsOf, look, predicted, wrong
from safeguards.adversarial.attacks.result import Attacked
from safeguards.adversarial.measures import Flags
from safeguards.core.predictions import answered

__all__ = ["Record", "joined", "record"]

TIE = 1e-5  # logits of a row differ by up to 3e-7 with the size of its batch, so a smaller gap may fall either way
SAME = 1e-6  # outputs that differ by less, relative to their size, are the same


@dataclass(frozen=True, kw_only=True)
class Record:
    """Arrays over rows (N,): ``predicted`` classes; ``clean``, ``single`` and ``right`` (K, N): right without attack,
    after a single step and after each attack; ``finite``: clean outputs say something; ``sloped``, ``steered``,
    ``moved`` as in `Attacked`, of the attack at eps itself; ``unchanged``: no attack changed the outputs; ``tied``: two
    classes within 1e-5 under some attack. ``low`` and ``high`` (C,) bound all outputs seen.
    """

    predicted: Any
    clean: Flags
    single: Flags
    right: Flags
    finite: Flags
    sloped: Flags
    steered: Flags
    moved: Flags
    unchanged: Flags
    tied: Flags
    low: Any
    high: Any

    def first(self, n: int) -> Record:
        """The first ``n`` rows: what was added to keep ranks in step falls away."""
        kept = {f.name: getattr(self, f.name)[..., :n] for f in fields(self)}
        return Record(**{**kept, "low": self.low, "high": self.high})

    @property
    def constant(self) -> bool:
        """Whether all outputs seen are the same."""
        return bool(np.isclose(self.low, self.high, rtol=SAME, atol=SAME).all())


def record(
    logits_of: LogitsOf,
    x: Tensor,
    y: Tensor,
    clean: Tensor,
    single: Attacked,
    attacks: Sequence[Attacked],
    *,
    main: int,
) -> Record:
    """Look at the model where the attacks left rows ``x`` (N, ...) of classes ``y``, whose outputs were ``clean``.

    ``attacks[main]`` is the one at eps itself.
    """
    after = [look(logits_of, attack.x) for attack in (single, *attacks)]
    seen = torch.stack([clean, *after]).double().reshape(len(after) + 1, len(x), -1)
    same = torch.isclose(seen[1:], seen[:1], rtol=SAME, atol=SAME)  # of a class that a mask rules out too
    flags = {
        "predicted": predicted(clean),
        "clean": ~wrong(clean, y),
        "single": ~wrong(after[0], y),
        "right": torch.stack([~wrong(logits, y) for logits in after[1:]]),
        "finite": answered(clean),
        "sloped": attacks[main].sloped,
        "steered": attacks[main].steered,
        "moved": attacks[main].moved,
        "unchanged": same.all(2).all(0),
        "tied": torch.stack([_tied(logits) for logits in after]).any(0),
        "low": seen.amin((0, 1)),
        "high": seen.amax((0, 1)),
    }
    return Record(**{name: flag.cpu().numpy() for name, flag in flags.items()})


def joined(parts: Sequence[Record]) -> Record:
    """The rows of several records, one after the other."""
    rows = {f.name: np.concatenate([getattr(p, f.name) for p in parts], axis=-1) for f in fields(Record)}
    low, high = np.min([p.low for p in parts], axis=0), np.max([p.high for p in parts], axis=0)
    return Record(**{**rows, "low": low, "high": high})


def _tied(logits: Tensor) -> Tensor:
    if logits.ndim == 1:
        return logits.abs() < TIE
    best = logits.topk(2, dim=1).values
    return best[:, 0] - best[:, 1] < TIE
