"""A page as a parser sees it, for tests that ask what could act on it."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

__all__ = ["Parsed"]

VOID = {"meta", "link", "input", "br", "img", "hr", "col"}


class Parsed(HTMLParser):
    """Its elements in order, its text, and what a script could hide in."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.unbalanced: list[str] = []
        self._inside: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._inside

    @property
    def tags(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.elements)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def title(self) -> str:
        return self._title

    def of(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """The attributes of the elements of this kind that have these."""
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.addresses += [value for name, value in attrs if name in ("href", "src", "action") and value]
        if tag not in VOID:
            self._inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self._inside[-1:] == [tag]:
            self._inside.pop()
        else:
            self.unbalanced.append(f"/{tag}")

    _title = ""

    def handle_data(self, data: str) -> None:
        if self._inside[-1:] == ["title"] and "svg" not in self._inside:
            self._title += data
        if not {"script", "style"} & set(self._inside):
            self.words.append(data)
