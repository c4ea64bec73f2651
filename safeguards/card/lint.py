"""Reads a card as a suspicious outsider: a number whose evidence is missing or says something else is a problem."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from safeguards.card.evidence import FORMS, Evidence, NoEvidence, Source
from safeguards.card.pages import packaged
from safeguards.card.stated import Stated
from safeguards.core.report import latest
from safeguards.core.verdict import Verdict

__all__ = ["lint_card"]

VOID = frozenset({"meta", "link", "input", "br", "img", "hr", "col", "wbr"})
REFERENCE = re.compile(r"(?:(?:IV|N|Art\.|MAP|MANAGE) [0-9]+(?:\.[0-9]+)?[a-z]?|MC [a-z ]+)(?: · |$)")
"""Items of Annex IV of the AI Act and its articles, of NIST's AI RMF, sections of a model card."""

LAYOUT = frozenset({"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height", "points", "viewbox"})
PLAIN_ATTRIBUTES = LAYOUT | {"id", "class", "content", "href", "tabindex", "lang", "charset", "for", "name", "scope"}
OWN_ATTRIBUTES = frozenset({"data-evidence", "data-form", "data-record", "data-artifact", "data-missing"})


def lint_card(page: str, evidence: Evidence, stated: Stated | None = None) -> list[str]:
    """One line for each problem; empty for a card that can be followed to its evidence."""
    seen = _Reader(page)
    return [
        *seen.problems,
        *(problem for one in seen.marked if (problem := _cited(one, evidence))),
        *(f"a number without evidence: {text!r}" for text in seen.loose),
        *_about_texts(seen, stated or Stated()),
        *_about_places(seen, evidence),
        *_about_the_whole(seen, evidence),
    ]


@dataclass
class _Marked:
    """An element that says where its text comes from."""

    attributes: dict[str, str]
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.words)


class _Reader(HTMLParser):
    """Collects what stands on the page by what it leans on."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.marked: list[_Marked] = []
        self.stated: list[_Marked] = []
        self.fixed: list[_Marked] = []
        self.missing: list[str] = []
        self.loose: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.artifacts: list[str] = []
        self.record = ""
        self.style = ""
        self._open: list[tuple[str, _Marked | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self._look_at(tag, held)
        mark = _Marked(attributes=held) if {"data-evidence", "data-stated", "data-fixed"} & held.keys() else None
        if mark is not None:
            kinds = {"data-evidence": self.marked, "data-stated": self.stated, "data-fixed": self.fixed}
            next(kinds[name] for name in kinds if name in held).append(mark)
        if tag not in VOID:
            self._open.append((tag, mark))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look_at(tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        if self._open[-1:] and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self.problems.append(f"</{tag}> closes what is not open")

    def handle_data(self, data: str) -> None:
        if self._open[-1:] and self._open[-1][0] == "style":
            self.style += data
            return
        holder = next((mark for _, mark in reversed(self._open) if mark is not None), None)
        if holder is not None:
            holder.words.append(data)
        elif _has_number(data):
            self.loose.append(" ".join(data.split())[:80])

    def _look_at(self, tag: str, held: dict[str, str]) -> None:
        if tag in ("script", "iframe", "object", "embed", "img", "base", "form", "foreignobject"):
            self.problems.append(f"<{tag}> has no place on a card")
        for name, value in held.items():
            if name.startswith("on") or name in ("style", "src", "srcset"):
                self.problems.append(f"<{tag} {name}> has no place on a card")
            elif _has_number(value) and name not in PLAIN_ATTRIBUTES | OWN_ATTRIBUTES and "data-evidence" not in held:
                self.problems.append(f"a number without evidence in <{tag} {name}>: {value[:80]!r}")
        self.ids += [held["id"]] if "id" in held else []
        self.targets += [held["href"]] if "href" in held else []
        self.artifacts += [held["data-artifact"]] if "data-artifact" in held else []
        self.missing += [held["data-missing"]] if "data-missing" in held else []
        self.record = held.get("data-record", self.record)


def _has_number(text: str) -> bool:
    return any(sign.isdigit() for sign in text)


def _cited(one: _Marked, evidence: Evidence) -> str | None:
    form, written = one.attributes.get("data-form", ""), one.attributes["data-evidence"]
    try:
        if form not in FORMS:
            return f"{one.text!r} has the unknown form {form!r}"
        said = FORMS[form](evidence.value(_source(written)))
    except (NoEvidence, ValueError, TypeError) as error:
        return f"{one.text!r} has no evidence: {error}"
    return None if said == one.text else f"{one.text!r} is not what its evidence says: {said!r} at {written}"


def _source(written: str) -> Source:
    if not written.startswith("["):
        return written
    parts: Any = json.loads(written)
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts) or len(parts) < 2:
        raise ValueError(f"{written} is no source")
    return tuple(parts)


def _about_texts(seen: _Reader, stated: Stated) -> list[str]:
    """What is marked as stated was stated, what is marked as fixed is a reference, what is missing is said to be."""
    known = {text for text in stated.texts() if text}
    found = [
        f"{one.text[:80]!r} is marked as stated, and nobody stated it" for one in seen.stated if one.text not in known
    ]
    found += [
        f"{one.text[:80]!r} is marked as a reference and is none"
        for one in seen.fixed
        if REFERENCE.sub("", one.text) != ""
    ]
    silent = sorted({*stated.missing} - {*seen.missing})
    found += [f"nobody stated {name}, and the card does not say so" for name in silent]
    return found + [f"{name} is said to be missing and is not" for name in sorted({*seen.missing} - {*stated.missing})]


def _about_places(seen: _Reader, evidence: Evidence) -> list[str]:
    ids = set(seen.ids)
    found = [f"a link leads nowhere: {target}" for target in sorted({*seen.targets}) if _is_lost(target, ids, evidence)]
    found += [f"two elements share the id {one!r}" for one in sorted(ids) if seen.ids.count(one) > 1]
    if evidence.artifacts is None:
        return found
    gone = sorted({*seen.artifacts} - evidence.artifacts)
    return found + [f"the artifact {path} is cited, and the run does not have it" for path in gone]


def _is_lost(target: str, ids: set[str], evidence: Evidence) -> bool:
    if target.startswith("#"):
        return target[1:] not in ids
    return evidence.links is None or not target.startswith(f"{evidence.links}/runs/")


def _about_the_whole(seen: _Reader, evidence: Evidence) -> list[str]:
    """Of this record, in this room's style, with every verdict on it: a card cannot leave out a FAIL."""
    found = (
        [] if seen.record == evidence.digest else [f"the card is of the record {seen.record[:12] or 'nobody named'}"]
    )
    found += [] if seen.style == packaged("card.css") else ["the style is not the card's own"]
    cited = " ".join(one.attributes["data-evidence"] for one in seen.marked)
    verdicts: Sequence[Any] = evidence.document["record"]["verdicts"]
    made = [Verdict.from_dict(one) for one in verdicts]
    place = {id(verdict): number for number, verdict in enumerate(made)}
    for verdict in latest(made):
        if not re.search(rf"/record/verdicts/{place[id(verdict)]}/measure\b", cited):
            found.append(f"the verdict on {verdict.safeguard}/{verdict.measure} is not on the card")
    return found
