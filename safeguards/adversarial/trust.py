"""Whether an attack may be believed: a weak attack and a robust model give the same number.

Each check looks at the attack at one eps by itself: successes carried from one eps to the next would hide what it looks
for. Where it compares two shares, one counts as larger when it lies above the interval of the other. Sources: Athalye,
Carlini and Wagner 2018 (arXiv 1802.00420); Carlini et al. 2019 (arXiv 1902.06705).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from safeguards.adversarial.measures import Share

__all__ = ["Check", "clip_holds", "gradients", "iterated", "moves", "non_increasing", "step_fits", "whole_range"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One reason to believe an attack or not. A skipped check could not apply, and says why."""

    name: str
    state: Literal["ok", "failed", "skipped"]
    text: str


def non_increasing(curve: Mapping[float, Share], alpha: float) -> Check:
    """More reach cannot leave more rows standing. ``curve`` maps multiples of eps to the share that stands there."""
    if len(curve) < 2:
        return _skipped("non_increasing", "there is one eps only")
    for (less, before), (more, after) in combinations(sorted(curve.items()), 2):
        if after.value > before.interval(alpha)[1]:
            text = f"accuracy rises from {before} at {less:g} eps to {after} at {more:g} eps"
            return _failed("non_increasing", text)
    return _ok("non_increasing", "accuracy does not rise with eps")


def whole_range(standing: Share | str, predicted: Sequence[int], alpha: float) -> Check:
    """With the whole range in reach every row can become the same row, and all predictions the same class.

    ``standing`` is the share that stands there, or why nobody knows; ``predicted`` counts clean predictions by class.
    """
    if isinstance(standing, str):
        return _skipped("whole_range", standing)
    constant = Share(hits=max(predicted), n=sum(predicted))
    said = f"with the whole range in reach {standing} stand, the most frequent prediction has {constant}"
    if standing.value > constant.interval(alpha)[1]:
        return _failed("whole_range", said)
    return _ok("whole_range", said)


def iterated(many: Share, single: Share | None, alpha: float) -> Check:
    """Many steps are at least as strong as one. ``single`` is None where the attack itself is a single step."""
    if single is None:
        return _skipped("iterated", "the attack is a single step")
    said = f"the attack leaves {many}, a single gradient step {single}"
    return _failed("iterated", said) if many.value > single.interval(alpha)[1] else _ok("iterated", said)


def gradients(*, attacked: int, usable: int, indifferent: int, constant: bool) -> Check:
    """Most attacked rows have a gradient to follow.

    ``usable`` rows have a finite gradient that is not zero on the features that may change. ``indifferent`` rows have
    one on the fixed features only, and no attack changed their outputs: the model does not look at what may change. A
    ``constant`` model gives the same outputs for all rows, attacked or not, and rightly has no gradient.
    """
    if constant:
        return _skipped("gradients", "the outputs are the same for all rows, attacked or not")
    if not attacked:
        return _skipped("gradients", "no row was right before the attack")
    said = f"{usable} of {attacked} attacked rows have a finite input gradient that is not zero"
    if indifferent:
        said += f", {indifferent} do not depend on the features that may change"
    return _ok("gradients", said) if 2 * (usable + indifferent) > attacked else _failed("gradients", said)


def moves(*, usable: int, moved: int) -> Check:
    """Most rows that have a gradient left their start: nothing else, such as rounding of large inputs, held them."""
    if not usable:
        return _skipped("moves", "no attacked row has a gradient to follow")
    said = f"{moved} of {usable} rows with a gradient left their start"
    return _ok("moves", said) if 2 * moved > usable else _failed("moves", said)


def step_fits(share: float | None) -> Check:
    """One step is no longer than eps. ``share`` is the step over eps, None where the attack has no such step."""
    if share is None:
        return _skipped("step_fits", "the attack chooses its own steps")
    said = f"eps_step is {share:.3g} times eps"
    return _ok("step_fits", said) if share <= 1 + math.ulp(1) else _failed("step_fits", said)


def clip_holds(outside: int | None, rows: int) -> Check:
    """The clip range contains the data. ``outside`` counts rows beyond it, None where no range is known."""
    if outside is None:
        return _skipped("clip_holds", "no clip range is known")
    said = f"{outside} of {rows} rows lie outside the clip range"
    if outside:
        return _failed("clip_holds", f"{said}: give ThreatModel(clip=) in the unit of the inputs")
    return _ok("clip_holds", said)


def _ok(name: str, text: str) -> Check:
    return Check(name=name, state="ok", text=text)


def _failed(name: str, text: str) -> Check:
    return Check(name=name, state="failed", text=text)


def _skipped(name: str, text: str) -> Check:
    return Check(name=name, state="skipped", text=text)
