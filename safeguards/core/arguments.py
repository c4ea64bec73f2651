"""Checks of arguments that several safeguards take, where they enter."""

from __future__ import annotations

from safeguards.core.errors import ConfigurationError

__all__ = ["check_shares", "check_whole"]


def check_whole(owner: object, least: int, **values: int) -> None:
    """Raise `ConfigurationError` unless each of ``values`` is a whole number, ``least`` or more; True is none."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            _refuse(owner, name, value, f"a whole number of at least {least}")


def check_shares(owner: object, **values: float) -> None:
    """Raise `ConfigurationError` unless each of ``values`` is a number above 0 and below 1, as an error rate is."""
    for name, value in values.items():
        if not isinstance(value, (int, float)) or not 0 < value < 1:
            _refuse(owner, name, value, "a number above 0 and below 1")


def _refuse(owner: object, name: str, value: object, expected: str) -> None:
    raise ConfigurationError(f"{type(owner).__name__}({name}={value!r}): expected {expected}")
