"""Reads a card as a suspicious outsider: a number whose evidence is missing or says something else is a problem."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from safeguards.card.citing import place_of, read_source, title_of
from safeguards.card.evidence import LEDGER, Evidence
from safeguards.card.forms import FORMS
from safeguards.card.outsider import Marked, Outsider
from safeguards.card.pages import packaged
from safeguards.card.stated import Stated
from safeguards.core.report import latest
from safeguards.core.verdict import Outcome, Verdict

__all__ = ["lint_card"]

REFERENCE = re.compile(r"(?:(?:IV|N|Art\.|MAP|MANAGE) [0-9]+(?:\.[0-9]+)?[a-z]?|MC [a-z ]+)(?: · |$)")
"""Items of Annex IV of the AI Act and its articles, of NIST's AI RMF, sections of a model card."""

UNANSWERED = (Outcome.NOT_EVALUATED, Outcome.ERROR)


def lint_card(page: str, evidence: Evidence, stated: Stated | None = None) -> list[str]:
    """One line for each problem; empty for a card that can be followed to its evidence."""
    seen = Outsider(page)
    return [
        *seen.problems,
        *(problem for one in seen.marked if (problem := _cited(one, evidence))),
        *(f"a number without evidence: {text!r}" for text in seen.loose),
        *_about_texts(seen, stated or Stated()),
        *_about_places(seen, evidence),
        *_about_files(seen, evidence),
        *_about_the_whole(seen, evidence),
    ]


def _cited(one: Marked, evidence: Evidence) -> str | None:
    """What stands there is what the evidence says, and the link and its title are to that evidence."""
    form, written = one.attributes.get("data-form", ""), one.attributes["data-evidence"]
    if form not in FORMS:
        return f"{one.text!r} has the unknown form {form!r}"
    try:
        source = read_source(written)
        said, title = FORMS[form](evidence.value(source)), title_of(evidence, source)
        place = f"#{place_of(source)}"
    except (LookupError, ValueError, TypeError) as error:
        return f"{one.text!r} has no evidence: {error}"
    if said != one.text:
        return f"{one.text!r} is not what its evidence says: {said!r} at {written}"
    if one.attributes.get("href") != place or one.attributes.get("title") != title:
        return f"{one.text!r} leads to {one.attributes.get('href')}, and its evidence is {place}, {title!r}"
    return None


def _about_texts(seen: Outsider, stated: Stated) -> Iterator[str]:
    """What is marked as stated was stated, what is marked as fixed is a reference, what is missing is said to be."""
    known = {text for text in stated.texts() if text}
    for one in seen.stated:
        if one.text not in known:
            yield f"{one.text[:80]!r} is marked as stated, and nobody stated it"
    for one in seen.fixed:
        if REFERENCE.sub("", one.text) != "":
            yield f"{one.text[:80]!r} is marked as a reference and is none"
    for name in sorted({*stated.missing} - {*seen.missing}):
        yield f"nobody stated {name}, and the card does not say so"
    for name in sorted({*seen.missing} - {*stated.missing}):
        yield f"{name} is said to be missing and is not"


def _about_places(seen: Outsider, evidence: Evidence) -> Iterator[str]:
    ids = set(seen.ids)
    for target in sorted({*seen.targets}):
        if target[1:] not in ids if target.startswith("#") else not _is_ours(target, evidence):
            yield f"a link leads nowhere: {target}"
    for one in sorted(ids):
        if seen.ids.count(one) > 1:
            yield f"two elements share the id {one!r}"


def _is_ours(target: str, evidence: Evidence) -> bool:
    """Below the review page that the card was told of, at this run."""
    return evidence.links is not None and target.startswith(f"{evidence.links}/runs/{evidence.record.tracking_run}")


def _about_files(seen: Outsider, evidence: Evidence) -> Iterator[str]:
    """The run has every file that is cited, and its ledger holds the record's verdicts."""
    tracked = evidence.tracked
    if tracked is None:
        return
    for path in sorted({*seen.artifacts} - tracked.artifacts):
        yield f"the artifact {path} is cited, and the run does not have it"
    if LEDGER in tracked.artifacts and not tracked.intact:
        yield f"the artifact {LEDGER} holds other verdicts than the record: it was changed after the sealing"


def _about_the_whole(seen: Outsider, evidence: Evidence) -> Iterator[str]:
    """Of this record, in this room's style, with every verdict on it: a card cannot leave out a FAIL or a silence."""
    if seen.record != evidence.digest:
        yield f"the card is of the record {seen.record[:12] or 'nobody named'}"
    if seen.style != packaged("card.css"):
        yield "the style is not the card's own"
    cited = {one.attributes["data-evidence"] for one in seen.marked}
    verdicts: Sequence[Verdict] = evidence.record.verdicts
    number = {id(verdict): place for place, verdict in enumerate(verdicts)}
    for verdict in latest(verdicts):
        pointer, name = f"/record/verdicts/{number[id(verdict)]}", f"{verdict.safeguard}/{verdict.measure}"
        if not {f"{pointer}/measure", f"{pointer}/outcome"} <= cited:
            yield f"the verdict on {name} is not on the card"
        if verdict.outcome in UNANSWERED and f"{pointer}/reason" not in cited:
            yield f"{name} was not evaluated, and the card does not say why"
    if evidence.ruling is not None and "/ruling/admitted" not in cited:
        yield "the gate ruled, and the card does not say how"
