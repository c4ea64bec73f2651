"""What a challenger must show, as YAML, in which a slip of the pen is an error."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from safeguards.core.arguments import check_whole
from safeguards.core.canonical import digest_of
from safeguards.core.errors import ConfigurationError, EvidenceError
from safeguards.core.files import read_whole
from safeguards.core.limit import Limit

__all__ = ["ChampionRule", "PairedRule", "Policy", "Waiver"]

LARGEST = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ChampionRule:
    """A limit on the value less that of the champion's record (``difference``), or divided by it (``ratio``)."""

    limit: Limit
    of: Literal["difference", "ratio"] = "difference"


@dataclass(frozen=True, kw_only=True)
class PairedRule:
    """On the same rows the challenger must not be worse by a margin, and better where that is asked for.

    Under the name ``accuracy/*`` it is asked of every group that was compared, and of one at least.

    Args:
        better: which way the measure points.
        margin: in the unit of the measure, 0 or more: the interval of the gain must lie above its negative.
        margin_share: the same as a share of the champion's value; the wider of both margins counts.
        minimum_effect: the gain itself must be at least this and its interval above 0; None asks for no gain.

    """

    better: Literal["higher", "lower"]
    margin: float = 0.0
    margin_share: float = 0.0
    minimum_effect: float | None = None

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower"):
            raise ConfigurationError(f"better: {self.better!r}: expected higher or lower")
        for name in ("margin", "margin_share"):
            _check_number(name, getattr(self, name), least=0.0)
        if self.minimum_effect is not None:
            _check_number("minimum_effect", self.minimum_effect, least=0.0)
            if self.minimum_effect == 0:
                raise ConfigurationError("minimum_effect: 0 would promote an equal model; null asks for no gain")


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """Somebody lets one measure pass for a while: what (as the refusal names it), why, who, and until when."""

    measure: str
    reason: str
    name: str
    expires: datetime

    def holds(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return now < self.expires


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the gate asks for. ``conf/policy.yaml`` explains each of these.

    Raises `ConfigurationError` with the nearest key for one that is unknown, and for values out of range.
    """

    required: tuple[str, ...]
    limits: Mapping[str, Limit] = field(default_factory=dict)
    against_champion: Mapping[str, ChampionRule] = field(default_factory=dict)
    paired: Mapping[str, PairedRule] = field(default_factory=dict)
    false_promotion_rate: float = 0.05
    planned_attempts: int = 52
    window_days: float = 365.0
    maximum_age_days: float = 7.0
    waivers: tuple[Waiver, ...] = ()
    signed: bool = False
    tracked: bool = True
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_number("false_promotion_rate", self.false_promotion_rate, least=0.0, below=0.5, above=True)
        for name in ("window_days", "maximum_age_days"):
            _check_number(name, getattr(self, name), least=0.0, above=True)
        check_whole(self, 1, planned_attempts=self.planned_attempts)
        for name in ("signed", "tracked"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name}: {getattr(self, name)!r}: expected true or false")
        if not self.required:
            raise ConfigurationError("required: expected at least one <safeguard>/<measure>; silence would pass")
        for name in ("limits", "against_champion", "paired"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def alpha(self) -> float:
        """Of each interval of a paired comparison: two-sided, so that its worse side is wrong with half of it.

        The rate is spread evenly over the attempts that are planned in any window: all of them together promote an
        equal model with at most that probability (the union bound).
        """
        return 2 * self.false_promotion_rate / self.planned_attempts

    @property
    def digest(self) -> str:
        """Two policies that ask for the same have the same digest."""
        return digest_of(_told(self))

    @classmethod
    def read(cls, path: Path | str) -> Policy:
        """A policy from YAML. Raises `ConfigurationError` with the file, the key and what was expected."""
        try:
            return cls.of(_load(read_whole(Path(path), at_most=LARGEST).decode("utf-8")))
        except (EvidenceError, ConfigurationError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"policy {path}: {error}") from None

    @classmethod
    def of(cls, data: Any) -> Policy:
        """A policy from nested plain values. Raises `ConfigurationError`."""
        found = _fields(cls, data, "the policy")
        _replace(found, "required", lambda value: tuple(_texts("required", value)))
        _replace(found, "classes", lambda value: tuple(_texts("classes", value)))
        _replace(found, "limits", lambda value: _mapped("limits", value, _limit))
        _replace(found, "against_champion", lambda value: _mapped("against_champion", value, _champion_rule))
        _replace(found, "paired", lambda value: _mapped("paired", value, _paired_rule))
        _replace(
            found, "waivers", lambda value: tuple(_waiver(n, one) for n, one in enumerate(_list("waivers", value), 1))
        )
        return cls(**found)


def _replace(found: dict[str, Any], name: str, make: Any) -> None:
    """A key with nothing behind it is a key that was left out."""
    if found.get(name) is None:
        found.pop(name, None)
    else:
        found[name] = make(found[name])
    if name == "required":
        found.setdefault(name, ())


def _fields(kind: Any, data: Any, where: str) -> dict[str, Any]:
    known = {f.name for f in fields(kind)}
    if not isinstance(data, dict):
        raise ConfigurationError(f"{where}: expected keys and values, got {type(data).__name__}")
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), sorted(known), n=1, cutoff=0.0)
            raise ConfigurationError(f"{where} has no key {str(key)!r}; nearest is {near[0]!r}")
    return dict(data)


def _mapped(name: str, value: Any, make: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigurationError(f"{name}: expected measures and their rules")
    return {key: make(f"{name}.{key}", item) for key, item in value.items()}


def _limit(where: str, value: Any) -> Limit:
    try:
        return Limit(**_fields(Limit, value, where))
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _champion_rule(where: str, value: Any) -> ChampionRule:
    if not isinstance(value, dict) or value.get("of", "difference") not in ("difference", "ratio"):
        raise ConfigurationError(f"{where}: expected at_most or at_least, and of: difference or of: ratio")
    return ChampionRule(
        limit=_limit(where, {key: item for key, item in value.items() if key != "of"}), of=value.get("of", "difference")
    )


def _paired_rule(where: str, value: Any) -> PairedRule:
    try:
        return PairedRule(**_fields(PairedRule, value, where))
    except (ConfigurationError, TypeError) as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _waiver(number: int, value: Any) -> Waiver:
    where = f"waivers[{number}]"
    found = _fields(Waiver, value, where)
    for name in ("measure", "reason", "name"):
        if not isinstance(found.get(name), str) or not found[name].strip():
            raise ConfigurationError(f"{where} needs {name}: a text; who waives what, and why, must be told")
    return Waiver(**{**found, "expires": _moment(where, found.get("expires"))})


def _moment(where: str, value: Any) -> datetime:
    """YAML makes dates of dates; a date ends with its day in UTC's count, which is when it begins."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise ConfigurationError(f"{where} needs expires: a date, as in 2026-12-31; got {value!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _texts(name: str, value: Any) -> list[str]:
    if not all(isinstance(one, str) for one in _list(name, value)):
        raise ConfigurationError(f"{name}: expected a list of texts")
    return list(value)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{name}: expected a list, got {value!r}")
    return value


def _check_number(name: str, value: Any, *, least: float, below: float = math.inf, above: bool = False) -> None:
    good = isinstance(value, Real) and not isinstance(value, bool) and least <= float(value) < below
    if not good or (above and float(value) == least):
        wanted = (
            f"{'above' if above else 'of at least'} {least:g}{'' if below == math.inf else f' and below {below:g}'}"
        )
        raise ConfigurationError(f"{name}: {value!r}: expected a number {wanted}")


def _told(policy: Policy) -> dict[str, Any]:
    from safeguards.core.verdict import plain

    return {f.name: _open(plain, getattr(policy, f.name)) for f in fields(policy)}


def _open(plain: Any, value: Any) -> Any:
    return {key: plain(item) for key, item in value.items()} if isinstance(value, Mapping) else plain(value)


def _load(text: str) -> Any:
    import yaml

    class Strict(yaml.SafeLoader):
        """A key that stands twice would hide the first."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [key for number, key in enumerate(keys) if key in keys[:number]]
            if twice:
                raise ConfigurationError(f"the key {twice[0]!r} stands twice")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Strict)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"no YAML: {' '.join(str(error).split())[:200]}") from None
