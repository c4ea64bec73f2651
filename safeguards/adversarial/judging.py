"""From what happened to each row to one measurement: the number, whether to believe it, and what is behind it.

Legend: N rows, K multiples of eps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safeguards.adversarial import trust
from safeguards.adversarial.measures import Flags, Share, carried
from safeguards.adversarial.record import Record
from safeguards.adversarial.trust import Check
from safeguards.core.verdict import Measurement

__all__ = ["Asked", "judged"]

NAMED = 10  # invalid rows that a reason names; more are counted
TOLERANCE_ALPHA = 0.05  # of the intervals in the checks: later looks must not make them more lenient


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the checks must know of the attack.

    ``multiples`` of eps in the order of the record; ``step``: its step over eps, None where it has none;
    ``single_step``: it is one itself; ``follows_gradients``: it would stand still without one; ``unreachable``: why the
    whole range tells nothing, None if it was tried; ``outside``: rows out of the clip range, None where none is known.
    """

    multiples: tuple[float, ...]
    eps: float
    step: float | None
    single_step: bool
    follows_gradients: bool
    unreachable: str | None
    outside: int | None


def judged(rows: Record, asked: Asked, *, invalid: Sequence[int], alpha: float) -> Measurement:
    """Robust accuracy at eps: the share of rows that are right, and stay so under the attack at every eps up to it.

    0 means that every row is wrong or breaks, 1 that none does. An attack that fails a check is insufficient evidence.
    ``invalid`` names the rows whose inputs are not numbers: they are neither attacked nor counted.
    """
    right_kn = rows.right & rows.clean
    checks = checked(rows, right_kn, asked)
    curve = curve_of(right_kn, asked, alpha)
    robust = next(point["share"] for point in curve if point["multiple"] == 1)
    return Measurement(
        value=robust.value,
        n=robust.n,
        interval=robust.interval(alpha),
        note=_said(invalid),
        model_fault=_fault(rows),
        insufficient=_untrusted(checks),
        details={
            "clean_accuracy": Share.of(rows.clean).value,
            "curve": [{name: part for name, part in point.items() if name != "share"} for point in curve],
            "checks": {check.name: f"{check.state}: {check.text}" for check in checks},
            "confidence": 1 - alpha,
            "near_ties": int(rows.tied.sum()),
            "invalid_rows": {"count": len(invalid), "first": list(invalid[:NAMED])},
        },
    )


def curve_of(right_kn: Flags, asked: Asked, alpha: float) -> list[dict[str, Any]]:
    """Robust accuracy at each eps, smallest first, with what the attack at that eps reached by itself."""
    order = sorted((m, k) for k, m in enumerate(asked.multiples) if math.isfinite(m))
    survived_kn = carried(right_kn[[k for _, k in order]])
    shares = [Share.of(flags) for flags in survived_kn]
    return [
        {
            "multiple": multiple,
            "eps": asked.eps * multiple,
            "accuracy": share.value,
            "interval": share.interval(alpha),
            "attack_alone": Share.of(right_kn[k]).value,
            "share": share,
        }
        for (multiple, k), share in zip(order, shares, strict=True)
    ]


def checked(rows: Record, right_kn: Flags, asked: Asked) -> list[Check]:
    """Every check of the attack, before anything is carried from one eps to the next."""
    shares = {m: Share.of(right_kn[k]) for k, m in enumerate(asked.multiples)}
    finite = {m: share for m, share in shares.items() if math.isfinite(m)}
    single = None if asked.single_step else Share.of(rows.single & rows.clean)
    attacked = rows.clean
    return [
        trust.step_fits(asked.step),
        trust.clip_holds(asked.outside, len(rows.clean)),
        _gradients(rows, asked),
        trust.moves(
            usable=int((attacked & rows.steered).sum()), moved=int((attacked & rows.steered & rows.moved).sum())
        ),
        trust.iterated(shares[1.0], single, TOLERANCE_ALPHA),
        trust.non_increasing(finite, TOLERANCE_ALPHA),
        trust.whole_range(asked.unreachable or shares[math.inf], _counts(rows), TOLERANCE_ALPHA),
    ]


def _gradients(rows: Record, asked: Asked) -> Check:
    if not asked.follows_gradients:
        return Check(name="gradients", state="skipped", text="the attack follows no gradient")
    indifferent = rows.clean & rows.sloped & ~rows.steered & rows.unchanged
    return trust.gradients(
        attacked=int(rows.clean.sum()),
        usable=int((rows.clean & rows.steered).sum()),
        indifferent=int(indifferent.sum()),
        constant=rows.constant,
    )


def _counts(rows: Record) -> list[int]:
    return [int(count) for count in np.bincount(rows.predicted)]


def _fault(rows: Record) -> str | None:
    faulty = int((~rows.finite).sum())
    return (
        f"the outputs of {faulty} of {len(rows.finite)} rows are NaN or infinite without any attack" if faulty else None
    )


def _untrusted(checks: Sequence[Check]) -> str | None:
    failed = [f"check {check.name!r} failed: {check.text}" for check in checks if check.state == "failed"]
    return "the attack cannot be trusted, " + "; ".join(failed) if failed else None


def _said(invalid: Sequence[int]) -> str:
    if not invalid:
        return ""
    names = ", ".join(map(str, invalid[:NAMED])) + (", ..." if len(invalid) > NAMED else "")
    return f"{len(invalid)} rows hold NaN or infinite inputs and are not counted: {names}"
