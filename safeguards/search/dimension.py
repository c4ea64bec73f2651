"""One dimension of a search: a key of the training configuration and the values that it may take."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import remainder
from typing import Any, Protocol

from safeguards.core.errors import ConfigurationError

__all__ = ["Dimension", "Suggests", "Value", "among", "read_dimension"]

ROUNDING = 1e-9
Value = str | int | float | bool | None
KINDS = {"float": {"low", "high", "log", "step"}, "int": {"low", "high", "log", "step"}, "categorical": {"choices"}}


class Suggests(Protocol):
    """What a trial of optuna can be asked."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One key and its values: numbers from ``low`` to ``high``, both included, or one of ``choices``.

    ``when`` names other keys with the values at which this one is asked for at all.
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[Value, ...] = ()
    when: Mapping[str, tuple[Value, ...]]

    def suggest(self, trial: Suggests) -> Value:
        """The trial's value."""
        if self.kind == "categorical":
            chosen: Value = trial.suggest_categorical(self.key, self.choices)
            return chosen
        if self.kind == "int":
            return trial.suggest_int(self.key, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)

    def edges(self) -> tuple[Value, ...]:
        """Both ends, or every choice: what must be valid for the whole to be."""
        if self.kind == "categorical":
            return self.choices
        return (int(self.low), int(self.high)) if self.kind == "int" else (self.low, self.high)

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        if self.kind == "categorical":
            return among(value, self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "int" else (int, float)):
            return False
        on_step = self.step is None or abs(remainder(value - self.low, self.step)) <= ROUNDING * self.step
        return self.low <= value <= self.high and on_step

    def asked(self, values: Mapping[str, Value]) -> bool:
        """Whether it applies beside these values of the other keys."""
        return all(key in values and among(values[key], allowed) for key, allowed in self.when.items())


def read_dimension(key: str, spec: Any) -> Dimension:
    """From plain values; raises `ConfigurationError` with the key and the remedy."""
    if not isinstance(spec, Mapping) or spec.get("type") not in KINDS:
        kind = spec.get("type") if isinstance(spec, Mapping) else spec
        raise ConfigurationError(f"space: type {kind!r} of {key!r}: expected {', '.join(KINDS)}")
    kind = str(spec["type"])
    for name in spec:
        if name not in KINDS[kind] | {"type", "when"}:
            near = difflib.get_close_matches(str(name), sorted(KINDS[kind] | {"when"}), n=1, cutoff=0.0)
            raise ConfigurationError(f"space: {key!r} of type {kind} has no {name!r}; did you mean {near[0]!r}?")
    when = {str(other): _several(value) for other, value in dict(spec.get("when") or {}).items()}
    if kind == "categorical":
        return Dimension(key=key, kind=kind, choices=_choices(key, spec), when=when)
    return _numeric(key, kind, spec, when)


def _numeric(key: str, kind: str, spec: Mapping[str, Any], when: Mapping[str, tuple[Value, ...]]) -> Dimension:
    low, high = (_number(key, kind, name, spec.get(name)) for name in ("low", "high"))
    step = None if spec.get("step") is None else _number(key, kind, "step", spec["step"])
    log = spec.get("log", False)
    if not low < high:
        raise ConfigurationError(f"space: {key!r} from {low} to {high}: expected low < high")
    if log not in (True, False) or (log and low <= 0):
        raise ConfigurationError(f"space: {key!r} with log={log!r} from {low}: expected true with low > 0, or false")
    if step is not None and (step <= 0 or log):
        raise ConfigurationError(f"space: {key!r} with step={step} and log={log!r}: expected step > 0 without log")
    if step is not None and abs(remainder(high - low, step)) > ROUNDING * step:
        raise ConfigurationError(f"space: {key!r} from {low} does not reach {high} in steps of {step}")
    return Dimension(key=key, kind=kind, low=low, high=high, log=bool(log), step=step, when=when)


def _number(key: str, kind: str, name: str, value: Any) -> float:
    """YAML reads 1e-4 as a text and 1.0e-4 as a number; both are meant as one."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not math.isfinite(number) or (kind == "int" and number != int(number)):
        wanted = "a whole number" if kind == "int" else "a finite number"
        raise ConfigurationError(f"space: {name}={value!r} of {key!r}: expected {wanted}")
    return number


def _choices(key: str, spec: Mapping[str, Any]) -> tuple[Value, ...]:
    choices = spec.get("choices")
    plain = isinstance(choices, (list, tuple)) and all(
        isinstance(one, (str, int, float, type(None))) for one in choices
    )
    if not plain or not choices or any(isinstance(one, float) and not math.isfinite(one) for one in choices):
        raise ConfigurationError(f"space: choices={choices!r} of {key!r}: expected a list of texts, numbers or flags")
    return tuple(choices)


def _several(value: Any) -> tuple[Value, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def among(value: object, allowed: Sequence[Value]) -> bool:
    """Whether a value is one of those allowed. True is not 1, although Python has them equal."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed)
