"""The model card: one file that needs no network, in which every number leads to its evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from safeguards.card import plots
from safeguards.card.citing import Citer
from safeguards.card.content import content_of
from safeguards.card.evidence import Evidence, evidence_of, key
from safeguards.card.lint import lint_card
from safeguards.card.pages import filled, packaged
from safeguards.card.stated import Stated
from safeguards.core.errors import SafeguardError
from safeguards.core.files import write_whole
from safeguards.core.report import overall
from safeguards.core.verdict import Outcome

if TYPE_CHECKING:
    from safeguards.gate import Record, Ruling
    from safeguards.tracking import RunReader

__all__ = ["model_card", "write_card"]

CURVES = ("train_loss_epoch", "train_loss", "val_loss", "val_accuracy")
"""Metrics that are drawn over training where the run has them, unless others are named."""


def model_card(
    record: Record,
    evidence: Evidence,
    *,
    stated: Stated | None = None,
    champion: Record | None = None,
    ruling: Ruling | None = None,
    signed: bool = False,
) -> str:
    """The page. Raises `NoEvidence` rather than print a number that has none."""
    stated = stated or Stated()
    cite, content = Citer(evidence), content_of(record, champion)
    return filled(
        "card.html",
        n=cite,
        evidence=evidence,
        content=content,
        stated=stated,
        record=record,
        champion=champion,
        ruling=ruling,
        signed=signed,
        overall=overall(record.verdicts),
        plots=plots,
        style=Markup(packaged("card.css")),  # noqa: S704 - a file of this package
        curves=[name for name, points in evidence.document["curves"].items() if points],
        failed=[one for one in content.last if one.verdict.outcome is Outcome.FAIL],
        costs=list(record.costs),
        data=list(record.data),
        seeds=list(record.seeds),
        notes=list(record.notes),
        comparisons=record.comparisons,
        watched={f"{one.verdict.safeguard}/{one.verdict.measure}": one for one in content.last},
        cost=lambda name: f"/record/costs/{key(name)}",
        datum=lambda name: f"/record/data/{key(name)}",
        seed=lambda name: f"/record/seeds/{key(name)}",
        note=lambda name: f"/record/notes/{key(name)}",
        cited=lambda: [place for place in cite.cited if place.count("-") > 1],
    )


def write_card(
    path: Path | str,
    record: Record,
    *,
    stated: Stated | None = None,
    champion: Record | None = None,
    ruling: Ruling | None = None,
    signed: bool = False,
    reader: RunReader | None = None,
    curves: tuple[str, ...] = CURVES,
    links: str | None = None,
) -> Path:
    """Write the card of a record once the linter has nothing to say.

    Args:
        path: of the file.
        record: as it was read.
        stated: what people state about the model.
        champion: the record of the champion, for the differences.
        ruling: the gate's.
        signed: whether reading the record checked a signature.
        reader: of the store that holds the run, for its curves and to see that its artifacts are there.
        curves: which metrics are drawn, where the run has them.
        links: the address of a review page.

    Raises:
        SafeguardError: what the linter found; nothing is written.

    """
    run: dict[str, Any] = {}
    if reader is not None and record.tracking_run is not None:
        story = reader.story(record.tracking_run)
        known = [name for name in curves if name in story.metrics]
        run["curves"] = {name: reader.curve(record.tracking_run, name) for name in known}
        run["artifacts"] = frozenset(one.path for one in story.artifacts)
    evidence = evidence_of(record, champion=champion, ruling=ruling, links=links, **run)
    page = model_card(record, evidence, stated=stated, champion=champion, ruling=ruling, signed=signed)
    if problems := lint_card(page, evidence, stated):
        raise SafeguardError(f"the card has {len(problems)} problems, the first of them: {problems[0]}")
    write_whole(Path(path), page.encode("utf-8"))
    return Path(path)
