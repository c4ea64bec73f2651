"""What Lightning logs, as points, parameters and tags for MLflow: names it takes, numbers it holds, no secrets."""

from __future__ import annotations

import logging
import math
import os
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, NamedTuple

from safeguards.core.redact import known_secrets, redact, redact_tree
from safeguards.tracking.names import LONGEST_PARAM, LONGEST_TAG, cut, key, text
from safeguards.tracking.store import said

__all__ = ["Parameter", "Point", "Tag", "own_tags", "parameters", "points", "run_tags"]

log = logging.getLogger(__name__)


class Point(NamedTuple):
    """A number of a metric; ``timestamp`` in milliseconds, ``step`` None where nobody counted."""

    key: str
    value: float
    timestamp: int
    step: int | None


class Parameter(NamedTuple):
    key: str
    value: str


class Tag(NamedTuple):
    key: str
    value: str


def points(metrics: Mapping[str, Any], step: int | None) -> list[Point | Tag]:
    """One point per metric, now. MLflow would store infinity as 1.797e308: a tag tells it instead, and no point."""
    now = int(time.time() * 1000)
    made: list[Point | Tag] = []
    for name, value in metrics.items():
        number = _number(value)
        if number is None:
            log.warning("the metric %s is no number and is left out", said(name))
        elif math.isinf(number):
            made.append(Tag(key(f"safeguards.infinite.{name}"), f"{number} at step {step or 0}"))
        else:
            made.append(Point(key(name), number, now, step))
    return made


def parameters(tree: Mapping[str, Any] | Namespace) -> list[Parameter]:
    """Nested settings as flat parameters, ``optimizer/lr``; long values keep their beginning and say so."""
    known = known_secrets(os.environ)
    return [
        Parameter(key(redact(name, known)), cut(redact(text(value), known), LONGEST_PARAM))
        for name, value in _flat(redact_tree(_plain(tree), known))
    ]


def own_tags(tags: Mapping[str, str]) -> list[Tag]:
    """Tags whose names are ours and whose values are ours."""
    return [Tag(name, cut(text(value), LONGEST_TAG)) for name, value in tags.items()]


def run_tags(tags: Mapping[str, Any]) -> list[Tag]:
    """Tags that users name; the name of a tag counts as the name of a secret does."""
    known = known_secrets(os.environ)
    clean = redact_tree(dict(tags), known)
    return [Tag(key(str(name)), cut(redact(text(value), known), LONGEST_TAG)) for name, value in clean.items()]


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Namespace):
        return _plain(vars(value))
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({name: getattr(value, name) for name in value.__dataclass_fields__})
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return value


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}/")
        else:
            yield f"{above}{name}", value
