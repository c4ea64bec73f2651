"""Pages about registered models: who made which version champion, when and why, and the card of each version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safeguards.card.card import checked_card
from safeguards.card.pages import filled
from safeguards.card.versions import RECORD, told_of
from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.gate import Entry, History
from safeguards.tracking import ModelReader, RunReader

if TYPE_CHECKING:
    from flask import Response

__all__ = ["ModelViews"]

CARD_POLICY = (
    "sandbox allow-popups allow-top-navigation-by-user-activation; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A card brings its style with it, and nothing on it may run."""


@dataclass(frozen=True, kw_only=True)
class Reign:
    """A model in the list: which version is champion, the newest entry of its history, and whether all of it holds."""

    name: str
    champion: int | None
    last: Entry | None
    sound: bool


class ModelViews:
    """One method for each address."""

    def __init__(self, reader: RunReader) -> None:
        self.reader = reader

    def models(self) -> str:
        return self._page("models.html", models=[self._reign(name) for name in ModelReader.names(self.reader)])

    def model(self, name: str) -> str:
        registry = self._registry(name)
        history = History.read(registry)
        return self._page(
            "model.html",
            name=name,
            history=history,
            entries=list(reversed(history.entries)),
            alias=registry.champion(),
            known={one.number for one in registry.versions() if RECORD in one.tags},
        )

    def card(self, name: str, version: int) -> Response:
        from flask import Response, url_for

        registry = self._registry(name)
        digest = next((one.tags.get(RECORD) for one in registry.versions() if one.number == version), None)
        if digest is None:
            raise LookupError(f"the model {name!r} has no version {version} with a record")
        links = url_for("review.experiments", _external=True)
        try:
            record, parts = told_of(registry, History.sound(registry), digest)
            parts["reader"], parts["links"] = self.reader, links
            page = checked_card(record, **parts)
        except (EvidenceError, RegistryError, LookupError) as error:
            raise LookupError(f"version {version} of {name!r} has no card: {error.args[0]}") from None
        response = Response(page, mimetype="text/html")
        response.headers["Content-Security-Policy"] = CARD_POLICY
        return response

    def _reign(self, name: str) -> Reign:
        registry = ModelReader(name, self.reader)
        history = History.read(registry)
        last = history.entries[-1] if history.entries else None
        return Reign(name=name, champion=registry.champion(), last=last, sound=not history.problems)

    def _registry(self, name: str) -> ModelReader:
        if name in ModelReader.names(self.reader):
            return ModelReader(name, self.reader)
        raise LookupError(f"the gate keeps no history of a model {name[:100]!r}")

    def _page(self, template: str, **values: Any) -> str:
        from flask import url_for

        return filled(template, url_for=url_for, **values)
