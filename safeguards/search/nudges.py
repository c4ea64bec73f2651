"""The trainings that show how a found optimum lies: the same values with other seeds, and one value moved at a time.

Pure: no optuna, no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safeguards.core.errors import ConfigurationError
from safeguards.search.dimension import Dimension, Value
from safeguards.search.space import Space

__all__ = ["variants"]

SHARE = 0.1


def variants(
    space: Space, found: Mapping[str, Value], *, seeds: Sequence[int], seed_key: str, share: float = SHARE
) -> dict[str, dict[str, Value]]:
    """What to train, by a name that says what differs from ``found``.

    ``seed <n>`` has the same values with another ``seed_key``. ``<key> = <value>`` has the seed that found them and one
    value moved up or down by ``share`` of its range, of the logarithm where the space has one, at least by one step; a
    categorical one takes each other choice that asks for the same keys. What would leave the space stays at its edge.
    Raises `ConfigurationError` unless ``share`` is between 0 and 1.
    """
    if not 0 < share < 1:
        raise ConfigurationError(f"variants(share={share!r}): expected a number between 0 and 1")
    made: dict[str, dict[str, Value]] = {f"seed {seed}": {**found, seed_key: seed} for seed in seeds}
    for dimension in space.dimensions:
        if dimension.key in found:
            for value in _others(dimension, found[dimension.key], share):
                moved = {**found, dimension.key: value}
                if _asked(space, moved) == _asked(space, found):
                    made[f"{dimension.key} = {_text(value)}"] = moved
    return made


def _others(dimension: Dimension, value: Value, share: float) -> list[Value]:
    if dimension.kind == "categorical":
        return [one for one in dimension.choices if one != value or isinstance(one, bool) != isinstance(value, bool)]
    if not isinstance(value, (int, float)):
        return []
    moved = [_moved(dimension, float(value), way * share) for way in (-1, 1)]
    return [one for one in moved if one != value]


def _moved(dimension: Dimension, value: float, share: float) -> Value:
    """By a share of the range, to the nearest step and at least by one, and no further than the edge."""
    low, high = dimension.low, dimension.high
    wanted = value * (high / low) ** share if dimension.log else value + share * (high - low)
    step = dimension.step or (1.0 if dimension.kind == "int" else None)
    if step is not None:
        steps = round((wanted - value) / step) or (1 if share > 0 else -1)
        wanted = value + steps * step
    wanted = min(max(wanted, low), high)
    return round(wanted) if dimension.kind == "int" else wanted


def _asked(space: Space, values: Mapping[str, Value]) -> set[str]:
    return {one.key for one in space.dimensions if one.asked(values)}


def _text(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
