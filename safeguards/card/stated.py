"""What people state about a model and no measurement knows, out of a YAML file. What is missing is missing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from safeguards.core.errors import ConfigurationError
from safeguards.core.redact import known_secrets, redact

__all__ = ["Risk", "Stated"]

LONGEST = 20_000


@dataclass(frozen=True, kw_only=True)
class Risk:
    """A risk with the measure that watches it, as "<safeguard>/<measure>"."""

    risk: str
    measure: str = ""
    residual: str = ""
    accepted_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """One text for each key of ``conf/card.yaml``; empty where nobody stated it."""

    owner: str = ""
    licence: str = ""
    intended_purpose: str = ""
    intended_users: str = ""
    out_of_scope: str = ""
    foreseeable_misuse: str = ""
    hardware_and_software: str = ""
    development: str = ""
    third_party_parts: str = ""
    design_choices: str = ""
    architecture: str = ""
    energy: str = ""
    data: str = ""
    human_oversight: str = ""
    planned_changes: str = ""
    tests_signed_by: str = ""
    residual_security_risk: str = ""
    limitations: str = ""
    why_these_measures: str = ""
    not_measurable: str = ""
    risks: tuple[Risk, ...] = field(default_factory=tuple)
    standards: str = ""
    monitoring: str = ""
    approved_by: str = ""
    off_switch: str = ""
    retention: str = ""

    @classmethod
    def read(cls, path: Path | str | None) -> Stated:
        """None states nothing. Raises `ConfigurationError` for an unreadable file, an unknown key, what is no text."""
        if path is None:
            return cls()
        import yaml

        try:
            found = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigurationError(f"cannot read {path}: {' '.join(str(error).split())}") from error
        if not isinstance(found, Mapping):
            raise ConfigurationError(f"{path} holds no keys; see conf/card.yaml")
        return cls(**{str(name): _checked(path, str(name), value) for name, value in found.items()})

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what nobody stated."""
        return tuple(one.name for one in fields(self) if not getattr(self, one.name))

    def texts(self) -> list[str]:
        """Every text, for the linter."""
        own = [getattr(self, one.name) for one in fields(self) if one.name != "risks"]
        return own + [getattr(risk, one.name) for risk in self.risks for one in fields(risk)]


def _checked(path: Path | str, name: str, value: Any) -> Any:
    known = {one.name for one in fields(Stated)}
    if name not in known:
        raise ConfigurationError(f"{path}: unknown key {name!r}; known are {', '.join(sorted(known))}")
    if name == "risks":
        if not isinstance(value, (list, tuple, type(None))):
            raise ConfigurationError(f"{path}: risks is a {type(value).__name__}, expected a list")
        return tuple(_risk(path, one) for one in value or ())
    return _text(path, name, value)


def _risk(path: Path | str, value: Any) -> Risk:
    known = {one.name for one in fields(Risk)}
    if not isinstance(value, Mapping) or not {"risk"} <= {*value} <= known:
        raise ConfigurationError(f"{path}: a risk needs the keys {', '.join(sorted(known))}, of which only risk is due")
    return Risk(**{str(name): _text(path, f"risks.{name}", item) for name, item in value.items()})


def _text(path: Path | str, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        raise ConfigurationError(f"{path}: {name} is a {type(value).__name__}, expected a text; quote it")
    text = redact(str(value).strip(), known_secrets(os.environ))
    if len(text) > LONGEST:
        raise ConfigurationError(f"{path}: {name} has {len(text):,} characters, at most {LONGEST:,} fit on a card")
    return text
