"""The one function through which a number or a text of the record gets onto a card: it demands the source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from safeguards.card.evidence import FORMS, LEDGER, Evidence, Source

__all__ = ["Citer"]

NONE = Markup('<span class="none">\u2013</span>')
CITED = Markup(
    '<a class="n {form}" href="#{place}" data-evidence="{source}" data-form="{form}" title="{title}"{rest}>{text}</a>'
)
UNTABBED = Markup(' tabindex="-1"')
"""Of links inside a drawing: the table beside it has the same ones, and a picture is one thing to a screen reader."""


class Citer:
    """Puts values of the evidence on a page and remembers which verdicts were cited."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.cited: dict[str, None] = {}

    def __call__(self, source: Source, form: str = "number", *, plot: bool = False) -> Markup:
        """``source`` as a link to its evidence; a dash where the value is None.

        Raises `NoEvidence` where there is none: a number that nobody can follow does not get onto the card.
        """
        value = self.evidence.value(source)
        if value is None:
            return NONE
        place = self._place(source)
        self.cited[place] = None
        return CITED.format(
            form=form,
            place=place,
            source=self.written(source),
            title=self._title(place),
            rest=UNTABBED if plot else "",
            text=FORMS[form](value),
        )

    def written(self, source: Source) -> str:
        """As the linter reads it back."""
        return source if isinstance(source, str) else json.dumps(source)

    def value(self, source: Source) -> Any:
        """The value itself, for where a mark is drawn; what is said of it must be cited."""
        return self.evidence.value(source)

    def _place(self, source: Source) -> str:
        """Where on the card its evidence stands: the verdict, the curve, or the record as a whole."""
        pointer = source if isinstance(source, str) else source[1]
        whose, _, rest = pointer[1:].partition("/")
        kind, _, rest = rest.partition("/")
        if whose == "curves":
            return "e-curves"
        if kind == "verdicts":
            return f"e-{whose}-{rest.partition('/')[0]}"
        return f"e-{whose}"

    def _title(self, place: str) -> str:
        """Run, step and artifact in a line."""
        whose, _, number = place.removeprefix("e-").partition("-")
        held: Mapping[str, Any] = self.evidence.document.get(whose) or {}
        if not number:
            return f"{whose} of the model card"
        step = held["verdicts"][int(number)]["moment"]["step"]
        return f"run {held['run_id']}, step {step}, {LEDGER}"
