"""The one function through which a number or a text of the record gets onto a card: it demands the source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from safeguards.card.evidence import LEDGER, Evidence, Source, parts
from safeguards.card.forms import FORMS

if TYPE_CHECKING:
    from safeguards.card.content import Judged

__all__ = ["Citer", "place_of", "read_source", "title_of"]

NONE = Markup('<span class="none">\u2013</span>')
CITED = Markup(
    '<a class="{kind}" href="#{place}" data-evidence="{source}" data-form="{form}" title="{title}"{rest}>{text}</a>'
)
HELD_BY = {
    "digests": "record.json",
    "ruling": "the gate's ruling",
    "run": "MLflow run",
    "audits": "MLflow runs of live audits",
    "history": "registry",
}
UNTABBED = Markup(' tabindex="-1"')
"""Of links inside a drawing: the table beside it has the same ones, and a picture is one thing to a screen reader."""


class Citer:
    """Puts values of the evidence on a page and remembers which verdicts were cited."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.cited: dict[str, None] = {}

    def __call__(self, source: Source, form: str = "number", *, plot: bool = False, kind: str = "") -> Markup:
        """``source`` as a link to its evidence; a dash where the value is None. ``kind`` is a class of its style.

        Raises `NoEvidence` where there is none: a number that nobody can follow does not get onto the card.
        """
        value = self.evidence.value(source)
        if value is None:
            return NONE
        text, place = FORMS[form](value), place_of(source)
        self.cited[place] = None
        title, rest = title_of(self.evidence, source), UNTABBED if plot else ""
        return CITED.format(
            kind=kind or f"n {form}",
            form=form,
            place=place,
            source=_written(source),
            title=title,
            rest=rest,
            text=text,
        )

    def outcome(self, source: Source) -> Markup:
        """An outcome in its colour."""
        return self(source, "outcome", kind=f"pill {str(self.evidence.value(source)).lower()}")

    def overall(self, last: Sequence[Judged]) -> Markup:
        """The gravest of these verdicts, in its colour."""
        return self.outcome(_all(last))

    def gravest(self, last: Sequence[Judged]) -> str:
        """The same as a word."""
        return str(self.evidence.value(_all(last)))

    def value(self, source: Source) -> Any:
        """The value itself, for where a mark is drawn; what is said of it must be cited."""
        return self.evidence.value(source)


def place_of(source: Source) -> str:
    """Where on the card its evidence stands: the id of the row of its verdict, or of the record as a whole."""
    whose, *rest = parts(_first(source))
    return f"e-{whose}-{rest[1]}" if rest[:1] == ["verdicts"] and len(rest) > 1 else f"e-{whose}"


def title_of(evidence: Evidence, source: Source) -> str:
    """Run, step and artifact in a line."""
    whose, *rest = parts(_first(source))
    if whose == "curves":
        held = evidence.document["curves"][rest[0]]
        step = held[int(rest[1])]["step"] if len(rest) > 1 else held[-1]["step"]
        return f"MLflow run {evidence.record.tracking_run}, step {step}, metric"
    if whose not in ("record", "champion"):
        return HELD_BY[whose]
    held = evidence.document[whose]
    if rest[:1] != ["verdicts"] or len(rest) < 2:
        return f"run {held['run_id']}, record.json"
    return f"run {held['run_id']}, step {held['verdicts'][int(rest[1])]['moment']['step']}, {LEDGER}"


def read_source(written: str) -> Source:
    """The inverse of what stands in ``data-evidence``. Raises ``ValueError``."""
    if written.startswith("/"):
        return written
    held: Any = json.loads(written)
    if isinstance(held, str):
        return held
    if not isinstance(held, list) or not all(isinstance(part, str) for part in held) or len(held) < 2:
        raise ValueError(f"{written} is no source")
    return tuple(held)


def _all(last: Sequence[Judged]) -> Source:
    return ("gravest", *(f"{one.pointer}/outcome" for one in last))


def _written(source: Source) -> str:
    """What prints stands as it is; the rest in signs that any file can hold."""
    return source if isinstance(source, str) and source.isprintable() else json.dumps(source)


def _first(source: Source) -> str:
    pointers: Sequence[str] = [source] if isinstance(source, str) else source[1:]
    return pointers[0] if pointers else "/record"
