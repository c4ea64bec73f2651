"""Two runs side by side: what each said of the same measure at the same stage, and in what their settings differ."""

from __future__ import annotations

from dataclasses import dataclass

from safeguards.core.report import latest
from safeguards.core.verdict import Verdict
from safeguards.tracking import RunStory

__all__ = ["Line", "Pair", "compared", "settings"]

Key = tuple[str, str, str, str | None]


@dataclass(frozen=True, kw_only=True)
class Line:
    """The last verdicts of one measure, stage and loader; None where a run has none."""

    safeguard: str
    measure: str
    stage: str
    loader: str | None
    one: Verdict | None
    other: Verdict | None

    @property
    def difference(self) -> float | None:
        """Of the values: other minus one. It is no test: the runs may have judged different rows."""
        if self.one is None or self.other is None or self.one.value is None or self.other.value is None:
            return None
        return self.other.value - self.one.value

    @property
    def shift(self) -> float | None:
        """Of the margins: above 0 the other stands better to the limit. None where the limits are not the same."""
        if self.one is None or self.other is None or self.one.limit != self.other.limit:
            return None
        if self.one.margin is None or self.other.margin is None:
            return None
        return self.other.margin - self.one.margin


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A setting and its two values; None where a run does not have it."""

    name: str
    one: str | None
    other: str | None


def compared(one: RunStory, other: RunStory) -> list[Line]:
    """A line for each measure that either run judged, by safeguard."""
    mine, theirs = _by_key(one), _by_key(other)
    return [
        Line(safeguard=key[0], measure=key[1], stage=key[2], loader=key[3], one=mine.get(key), other=theirs.get(key))
        for key in sorted({*mine, *theirs}, key=lambda key: (key[0], key[1], key[2], key[3] or ""))
    ]


def settings(one: RunStory, other: RunStory) -> list[Pair]:
    """The parameters that are not the same."""
    names = sorted({*one.parameters, *other.parameters})
    pairs = [Pair(name=name, one=one.parameters.get(name), other=other.parameters.get(name)) for name in names]
    return [pair for pair in pairs if pair.one != pair.other]


def _by_key(story: RunStory) -> dict[Key, Verdict]:
    return {
        (verdict.safeguard, verdict.measure, verdict.moment.stage, verdict.moment.loader): verdict
        for verdict in latest(story.verdicts)
    }
