"""The model card: one file that needs no network, in which every number leads to its evidence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from markupsafe import Markup

from safeguards.card import plots, timelines
from safeguards.card.citing import Citer
from safeguards.card.content import content_of
from safeguards.card.evidence import Evidence, Tracked, evidence_of, key
from safeguards.card.lint import lint_card
from safeguards.card.pages import filled, packaged
from safeguards.card.stated import Stated
from safeguards.core.errors import EvidenceError, SafeguardError
from safeguards.core.files import write_whole
from safeguards.core.redact import known_secrets, redact_tree
from safeguards.core.report import latest
from safeguards.core.verdict import Verdict
from safeguards.tracking import live_audits

if TYPE_CHECKING:
    from safeguards.gate import History, Record, Ruling
    from safeguards.tracking import RunReader, RunStory

__all__ = ["CURVES", "CardParts", "checked_card", "model_card", "write_card"]

CURVES = ("train_loss_epoch", "train_loss", "val_loss", "val_accuracy")
"""Metrics that are drawn over training where the run has them, unless others are named."""


class CardParts(TypedDict, total=False):
    """What `checked_card` takes beside the record."""

    stated: Stated | None
    champion: Record | None
    ruling: Ruling | None
    history: History | None
    signed: bool
    reader: RunReader | None
    curves: tuple[str, ...]
    links: str | None


def model_card(evidence: Evidence, *, stated: Stated | None = None, signed: bool = False) -> str:
    """The page. Raises `NoEvidence` rather than print a number that has none."""
    record, cite = evidence.record, Citer(evidence)
    content = content_of(record, evidence.champion)
    held = {name: list(getattr(record, name)) for name in ("data", "seeds", "notes")}
    held["made_with"] = list((evidence.document["run"] or {}).get("made_with", ()))
    return filled(
        "card.html",
        n=cite,
        evidence=evidence,
        content=content,
        stated=stated or Stated(),
        record=record,
        champion=evidence.champion,
        ruling=evidence.ruling,
        signed=signed,
        plots=plots,
        timelines=timelines,
        style=Markup(packaged("card.css")),  # noqa: S704 - a file of this package
        families=timelines.families(evidence.document["curves"]),
        watched={f"{one.verdict.safeguard}/{one.verdict.measure}": one for one in content.last},
        at_key=lambda whose, name: f"/record/{whose}/{key(name)}",
        cited=lambda: [place for place in cite.cited if place.count("-") > 1],
        costs=sorted(record.costs, key=lambda name: record.costs[name], reverse=True),
        **held,
    )


def checked_card(
    record: Record,
    *,
    stated: Stated | None = None,
    champion: Record | None = None,
    ruling: Ruling | None = None,
    history: History | None = None,
    signed: bool = False,
    reader: RunReader | None = None,
    curves: tuple[str, ...] = CURVES,
    links: str | None = None,
) -> str:
    """The card of a record, once the linter has nothing to say.

    Args:
        record: as it was read.
        stated: what people state about the model.
        champion: the record of the champion, for the differences.
        ruling: the gate's.
        history: of the registered model: who decided what, and when.
        signed: whether reading the record checked a signature.
        reader: of the store that holds the run, for its curves and to see that its files are there, unchanged.
        curves: which metrics are drawn, where the run has them.
        links: the address of a review page.

    Raises:
        EvidenceError: what the linter found.
        LookupError: the store does not have the run.

    """
    evidence = evidence_of(
        record,
        champion=champion,
        ruling=ruling,
        history=history,
        tracked=None if reader is None else _tracked(reader, record, curves),
        audits=None if reader is None else live_audits(reader, record.digest),
        links=links,
    )
    page = model_card(evidence, stated=stated, signed=signed)
    if problems := lint_card(page, evidence, stated):
        raise EvidenceError(f"the card has {len(problems)} problems, the first of them: {problems[0]}")
    return page


def write_card(path: Path | str, record: Record, **parts: Unpack[CardParts]) -> Path:
    """Write `checked_card`, of which ``parts`` are the arguments, to a file; folders above it are made.

    Raises its errors, upon which nothing is written, and `SafeguardError` where nothing can be.
    """
    path, page = Path(path), checked_card(record, **parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page.encode("utf-8"))
    except OSError as error:
        raise SafeguardError(f"the card cannot be written to {path}: {error.strerror}") from error
    return path


def _plain(verdicts: Sequence[Verdict]) -> list[Any]:
    """Without secrets: the sealing and the tracking each took out those that they knew."""
    return [redact_tree(verdict.to_dict(), known_secrets(os.environ)) for verdict in verdicts]


def _tracked(reader: RunReader, record: Record, curves: tuple[str, ...]) -> Tracked | None:
    run = record.tracking_run
    if run is None:
        return None
    story = reader.story(run)
    files = frozenset(one.path for one in story.artifacts)
    return Tracked(
        ended=story.row.ended or story.row.status.lower(),
        artifacts=files,
        intact=_plain(story.verdicts) == _plain(record.verdicts),
        curves={name: reader.curve(run, name) for name in curves if name in story.metrics},
        seconds=_seconds(story.row.started, story.row.stopped),
        made_with=story.made_with,
        judged=dict(_judged(reader, record, story)),
    )


def _judged(reader: RunReader, record: Record, story: RunStory) -> Iterator[tuple[int, float]]:
    """When the metric of each last verdict was logged; one that was logged at another step is another look."""
    place = {id(verdict): number for number, verdict in enumerate(record.verdicts)}
    for verdict in latest(record.verdicts):
        name = f"safeguard/{verdict.safeguard}/{verdict.measure}"
        points = reader.curve(str(record.tracking_run), name) if name in story.metrics else ()
        if here := [one.when for one in points if one.step == verdict.moment.step]:
            yield place[id(verdict)], here[-1]


def _seconds(started: float | None, stopped: float | None) -> float | None:
    return None if started is None or stopped is None else stopped - started
