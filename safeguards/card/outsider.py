"""A card as a parser sees it: what stands on it by what it leans on, and what has no place there."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Marked", "Outsider"]

VOID = frozenset({"meta"})
TAGS = VOID | {
    "html", "head", "title", "style", "body", "header", "main", "section", "div", "span", "p", "h1", "h2", "h3", "a",
    "dl", "dt", "dd", "ul", "li", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary",
    "figure", "figcaption", "svg", "g", "text", "line", "rect", "circle", "polygon", "polyline",
}  # fmt: skip
"""Everything else has no place: no script, no form, nothing that loads."""

LAYOUT = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height", "points", "viewbox"}
PLAIN = LAYOUT | {"id", "aria-labelledby", "class", "charset", "content", "href", "tabindex"}
"""Attributes that may hold a number which nobody reads."""

OWN = {"data-evidence", "data-form", "data-record", "data-artifact", "data-missing"}
OTHER = {
    "lang", "name", "http-equiv", "scope", "role", "aria-label", "text-anchor", "title",
    "data-stated", "data-fixed",
}  # fmt: skip
MARKS = ("data-evidence", "data-stated", "data-fixed")


@dataclass
class Marked:
    """An element that says where its text comes from."""

    attributes: dict[str, str]
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.words)


class Outsider(HTMLParser):
    """``loose`` are texts with a number that lean on nothing."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.loose: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.artifacts: list[str] = []
        self.missing: list[str] = []
        self.record = ""
        self.style = ""
        self._kinds: dict[str, list[Marked]] = {name: [] for name in MARKS}
        self._open: list[tuple[str, Marked | None]] = []
        self.feed(page)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag, _ in self._open]

    @property
    def marked(self) -> list[Marked]:
        """What is cited."""
        return self._kinds["data-evidence"]

    @property
    def stated(self) -> list[Marked]:
        """What people are said to have stated."""
        return self._kinds["data-stated"]

    @property
    def fixed(self) -> list[Marked]:
        """References to laws and frameworks."""
        return self._kinds["data-fixed"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self._look_at(tag, held)
        kind = next((name for name in MARKS if name in held), None)
        mark = None if kind is None else Marked(attributes=held)
        if mark is not None and kind is not None:
            self._kinds[kind].append(mark)
            if self._holder is not None:
                self.problems.append(f"<{tag} {kind}> stands inside what has its own evidence")
        if tag not in VOID:
            self._open.append((tag, mark))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look_at(tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        if self._open[-1:] and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self.problems.append(f"</{tag}> closes what is not open")

    def handle_comment(self, data: str) -> None:
        self.problems.append("a comment has no place on a card")

    def handle_data(self, data: str) -> None:
        if self._open[-1:] and self._open[-1][0] == "style":
            self.style += data
        elif self._holder is not None:
            self._holder.words.append(data)
        elif _has_number(data):
            self.loose.append(" ".join(data.split())[:80])

    @property
    def _holder(self) -> Marked | None:
        return next((mark for _, mark in reversed(self._open) if mark is not None), None)

    def _look_at(self, tag: str, held: dict[str, str]) -> None:
        if tag not in TAGS:
            self.problems.append(f"<{tag}> has no place on a card")
        for name, value in held.items():
            if name not in PLAIN | OWN | OTHER or (name == "http-equiv" and value != "Content-Security-Policy"):
                self.problems.append(f"<{tag} {name}> has no place on a card")
            elif _has_number(value) and name in OTHER and "data-evidence" not in held:
                self.problems.append(f"a number without evidence in <{tag} {name}>: {value[:80]!r}")
        if "pill" in held.get("class", "").split() and held.get("data-form") != "outcome":
            self.problems.append("an outcome without evidence")
        self._keep(held)

    def _keep(self, held: dict[str, str]) -> None:
        for name, kept in (
            ("id", self.ids),
            ("href", self.targets),
            ("data-artifact", self.artifacts),
            ("data-missing", self.missing),
        ):
            if name in held:
                kept.append(held[name])
        self.record = held.get("data-record", self.record)


def _has_number(text: str) -> bool:
    return any(sign.isnumeric() for sign in text)
