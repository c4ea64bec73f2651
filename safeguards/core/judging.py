"""From what one safeguard saw of one loader to its verdicts: the five steps that keep all ranks together.

Local work in a try; one agreement on whether it went well; if not, the texts of the failures on all ranks; only then
collectives; the same verdict everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from safeguards.core.cost import rows_of_share, said_left_out
from safeguards.core.errors import NotApplicable, RankError
from safeguards.core.limit import judged
from safeguards.core.predictions import Unsaid, doubt
from safeguards.core.ranks import describe
from safeguards.core.repeats import Repeats, repeated
from safeguards.core.rows import Rows
from safeguards.core.safeguard import Safeguard
from safeguards.core.scene import Scene
from safeguards.core.verdict import Cost, Measurement, Outcome, Verdict, plain
from safeguards.core.watching import no_trace

__all__ = ["Entry", "judge"]

NO_IDENTITY = (
    "rows have no identity on several processes, so padded copies cannot be told from rows: give BatchFields(row_id=), "
    "or use a map-style data set with Lightning's own distributed sampler"
)
PILOT = "the first look may exceed max_share_of_fit"
WHOLE_FORWARDS = "its forwards were of whole batches, which take all processes: logits returned by the step save them"


@dataclass(eq=False)
class Entry:
    """What one safeguard has of one loader at this moment."""

    safeguard: Safeguard
    scene: Scene
    state: Any = None
    error: Exception | None = None
    seen: int = 0
    share: float = 1.0
    cut: str = ""
    keep_below: int | None = None
    held: list[Rows] = field(default_factory=list)
    unsaid: Unsaid = field(default_factory=Unsaid)
    repeats: Repeats = field(default_factory=Repeats)
    whole_forwards: bool = False

    def budget(self, wanted: int) -> int:
        """How many of ``wanted`` rows the cap allows; what it cuts is said."""
        granted = rows_of_share(self.share, wanted)
        if granted < wanted:
            self.safeguard.meter.take(granted / wanted)
            self.cut = f"max_share_of_fit allowed {granted} of {wanted} rows"
        return granted

    @property
    def said(self) -> str:
        """What the cap took from this look, what of it the cap could not make smaller, and how many before it."""
        meter = self.safeguard.meter
        whole = WHOLE_FORWARDS if self.keep_below is not None and self.whole_forwards else ""
        left_out = said_left_out(meter.left_out, "before this one")
        return "; ".join(part for part in (self.cut, whole, PILOT if meter.pilot else "", left_out) if part)

    def show(self, rows: Rows) -> None:
        """Let the safeguard take these rows in. Local; what it raises is raised."""
        self.seen += rows.n
        self.safeguard.observe(self.state, rows, self.scene)


def judge(entry: Entry, fit_seconds: Callable[[], float]) -> list[Verdict]:
    """All ranks together: a verdict per limit that was measured; ERROR for every limit when something failed."""
    safeguard, scene = entry.safeguard, entry.scene
    found: dict[str, Measurement] = {}
    with safeguard.meter.running(), no_trace(scene.module):
        try:
            found, entry.error = _found(entry), None
        except Exception as error:
            entry.error = error
    cost = safeguard.meter.settle(fit_seconds(), scene.ranks)
    if entry.error is not None:
        return [_error(safeguard, measure, entry, describe(entry.error), cost) for measure in safeguard.limits]
    return [
        _verdict(safeguard, measure, entry, found[measure], cost) for measure in safeguard.limits if measure in found
    ]


def _found(entry: Entry) -> dict[str, Measurement]:
    if isinstance(entry.error, RankError):
        raise entry.error
    safeguard, scene, ranks = entry.safeguard, entry.scene, entry.scene.ranks
    try:
        ranks.agree(None if entry.error is None else describe(entry.error))
    except RankError as agreed:
        raise agreed from entry.error
    if ranks.world > 1 and safeguard.needs_identity and not scene.loader.identified:
        return _too_little(safeguard, NO_IDENTITY)
    if safeguard.fields is not None and safeguard.needs_identity:
        _release(entry)
        seen, *told = ranks.sum(torch.tensor([entry.seen, *entry.repeats.told()])).tolist()
        if seen == 0:
            return _too_little(safeguard, "; ".join(filter(None, ["no rows were seen", entry.said])))
        if why := repeated(told, by_id=safeguard.fields.row_id is not None):
            return _too_little(safeguard, why)
        _doubt(entry)
    found = ranks.together(lambda: dict(safeguard.examine(entry.state, scene)))
    return ranks.broadcast({name: _plain(one, entry.said) for name, one in found.items()})


def _release(entry: Entry) -> None:
    """Show the rows that had to wait until copies on other ranks could be told from them."""
    ranks = entry.scene.ranks
    ids = torch.cat([rows.ids for rows in entry.held]) if entry.held else torch.empty(0, dtype=torch.int64)
    everywhere = ranks.gather(ids.tolist())
    if not any(everywhere):
        return
    _refuse_shared_ids(everywhere, entry.scene.loader.size)
    before = torch.tensor(sorted({i for ids in everywhere[: ranks.rank] for i in ids}), dtype=torch.int64)

    def show() -> None:
        for rows in entry.held:
            own = rows.only(~torch.isin(rows.ids, before))
            if own.n:
                entry.show(own)

    ranks.together(show)


def _refuse_shared_ids(everywhere: list[list[int]], size: int | None) -> None:
    """Rows are repeated only to fill up batches: more repeats than spare rows are rows that share an id."""
    met: set[int] = set()
    repeats = 0
    for ids in everywhere:
        repeats += sum(i in met for i in ids)
        met.update(ids)
    spare = sum(map(len, everywhere)) - (size or 0)
    if size is not None and repeats > max(0, spare):
        raise NotApplicable(
            f"row_id: {repeats} rows have the id of a row on another process, where at most {max(0, spare)} can be "
            "copies of it: give each row of the set an id of its own"
        )


def _doubt(entry: Entry) -> None:
    """Refuse single outputs that all lie in [0, 1] on every rank when nobody said what they are."""
    unsaid = entry.unsaid
    rows, outside = entry.scene.ranks.sum(torch.tensor([unsaid.rows, int(unsaid.outside)])).tolist()
    if entry.safeguard.reads_outputs:
        doubt(rows, outside=bool(outside))


def _too_little(safeguard: Safeguard, why: str) -> dict[str, Measurement]:
    return {measure: Measurement(value=float("nan"), n=0, insufficient=why) for measure in safeguard.limits}


def _plain(found: Measurement, said: str) -> Measurement:
    interval = None if found.interval is None else (float(found.interval[0]), float(found.interval[1]))
    note = "; ".join(part for part in (found.note, said) if part)
    return replace(
        found, value=float(found.value), n=int(found.n), interval=interval, note=note, details=plain(found.details)
    )


def _verdict(safeguard: Safeguard, measure: str, entry: Entry, found: Measurement, cost: Cost) -> Verdict:
    return judged(
        found,
        safeguard.limits[measure],
        safeguard=safeguard.label,
        measure=measure,
        moment=entry.scene.moment,
        on=safeguard.decide_on,
        cost=cost,
    )


def _error(safeguard: Safeguard, measure: str, entry: Entry, reason: str, cost: Cost) -> Verdict:
    return Verdict(
        safeguard=safeguard.label,
        measure=measure,
        outcome=Outcome.ERROR,
        reason=reason,
        moment=entry.scene.moment,
        limit=safeguard.limits[measure],
        cost=cost,
    )
