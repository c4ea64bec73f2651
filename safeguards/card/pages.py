"""Templates of this room, filled in: every value is escaped, and a name that is missing is an error."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from safeguards.card import words
from safeguards.card.forms import MARKS
from safeguards.core.verdict import Outcome

__all__ = ["filled", "packaged"]


def filled(template: str, **values: Any) -> str:
    """The page of a template."""
    return _environment().get_template(template).render(**values)


def packaged(name: str) -> str:
    """A file of ``static/``, to be put into a page that must stand alone."""
    return files(__package__ or "safeguards.card").joinpath("static", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("safeguards.card"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(words, name) for name in words.__all__})
    environment.globals.update(marks=MARKS, outcomes=list(Outcome))
    return environment
