"""The space of a search: which keys of a training configuration may take which values.

Pure: no optuna, no files. A trial is anything with the ``suggest_`` methods of optuna's.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from safeguards.core.errors import ConfigurationError
from safeguards.search.dimension import Dimension, Suggests, Value, among, read_dimension

__all__ = ["Space", "place"]


@dataclass(frozen=True)
class Space:
    """The dimensions, each after those that its ``when`` names."""

    dimensions: tuple[Dimension, ...]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Space:
        """From plain values, as a YAML file gives them: ``{key: {type: float, low: 1e-4, high: 0.1, log: true}}``.

        ``type`` is float, int or categorical (with ``choices``). ``when: {other key: value or list of values}`` makes a
        dimension conditional. Raises `ConfigurationError` with the key and the remedy.
        """
        if not isinstance(given, Mapping) or not given:
            raise ConfigurationError(f"space={given!r}: expected a dimension per key of the training configuration")
        dimensions = {str(key): read_dimension(str(key), spec) for key, spec in given.items()}
        for dimension in dimensions.values():
            _check_condition(dimension, dimensions)
        return cls(tuple(_in_order(dimensions)))

    def suggest(self, trial: Suggests) -> dict[str, Value]:
        """Values of one trial, of the dimensions that apply."""
        values: dict[str, Value] = {}
        for dimension in self.dimensions:
            if dimension.asked(values):
                values[dimension.key] = dimension.suggest(trial)
        return values

    def check(self, values: Mapping[str, Value]) -> None:
        """Raises `ConfigurationError` for a key or a value that this space does not have."""
        known = {one.key: one for one in self.dimensions}
        for key, value in values.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
                raise ConfigurationError(f"the space has no {key!r}; did you mean {near[0]!r}?")
            if not known[key].holds(value):
                raise ConfigurationError(f"{key}={value!r} lies outside the space")

    def part_within(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Those of the values that this space has."""
        known = {one.key: one for one in self.dimensions}
        return {key: value for key, value in values.items() if key in known and known[key].holds(value)}

    def corners(self) -> list[dict[str, Value]]:
        """Assignments in which, taken together, each dimension takes each of its edges."""
        found = []
        for dimension in self.dimensions:
            for edge in dimension.edges():
                wanted = self._needed_for(dimension) | {dimension.key: edge}
                found.append(self._completed(wanted))
        return [one for number, one in enumerate(found) if one not in found[:number]]

    def _needed_for(self, dimension: Dimension) -> dict[str, Value]:
        needed: dict[str, Value] = {}
        by_key = {one.key: one for one in self.dimensions}
        for key, allowed in dimension.when.items():
            needed |= {key: allowed[0]} | self._needed_for(by_key[key])
        return needed

    def _completed(self, wanted: Mapping[str, Value]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for dimension in self.dimensions:
            if dimension.asked(values):
                values[dimension.key] = wanted.get(dimension.key, dimension.edges()[0])
        return values


def place(configuration: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """A copy of a nested configuration with the values at their dotted keys; a number is a place in a list.

    A key that is not there yet is made: whether it may be is for the configuration's own parser to say. With another
    ``class_path`` the ``init_args`` beside it, which belong to the former class, go. Raises `ConfigurationError` for a
    key that leads through a value that is neither mapping nor list, or past the end of a list.
    """
    whole: dict[str, Any] = deepcopy(dict(configuration))
    for key in sorted(values, key=lambda key: not key.endswith("class_path")):
        _put(whole, key, values[key])
    return whole


def _put(whole: dict[str, Any], key: str, value: Value) -> None:
    *path, last = key.split(".")
    node: Any = whole
    for done, step in enumerate(path):
        if isinstance(node, dict) and node.get(step) is None:
            node[step] = {}
        node = node[_index(node, step, key, done)]
    at = _index(node, last, key, len(path))
    if last == "class_path" and node.get("class_path") != value:
        node.pop("init_args", None)
    node[at] = value


def _index(node: Any, step: str, key: str, done: int) -> Any:
    if isinstance(node, dict):
        return step
    where = ".".join(key.split(".")[:done])
    if not isinstance(node, list):
        raise ConfigurationError(f"space: {key!r} leads into {where!r}, which is {node!r} and has no {step!r}")
    if not step.isdigit() or int(step) >= len(node):
        raise ConfigurationError(f"space: {key!r}: {where!r} is a list; expected a number from 0 to {len(node) - 1}")
    return int(step)


def _check_condition(dimension: Dimension, dimensions: Mapping[str, Dimension]) -> None:
    for key, allowed in dimension.when.items():
        if key not in dimensions:
            near = difflib.get_close_matches(key, dimensions, n=1, cutoff=0.0)
            raise ConfigurationError(f"space: {dimension.key!r} depends on {key!r}; did you mean {near[0]!r}?")
        other = dimensions[key]
        wrong = [one for one in allowed if not among(one, other.choices)]
        if other.kind != "categorical" or wrong or not allowed:
            raise ConfigurationError(
                f"space: {dimension.key!r} when {key}={list(allowed)}: expected choices of {key!r}, "
                f"which are {list(other.choices)}"
            )


def _in_order(dimensions: Mapping[str, Dimension]) -> list[Dimension]:
    placed: dict[str, Dimension] = {}
    waiting = dict(dimensions)
    while waiting:
        ready = [one for one in waiting.values() if all(key in placed for key in one.when)]
        if not ready:
            raise ConfigurationError(f"space: {', '.join(map(repr, waiting))} depend on each other in a circle")
        placed |= {one.key: one for one in ready}
        waiting = {key: one for key, one in waiting.items() if key not in placed}
    return list(placed.values())
