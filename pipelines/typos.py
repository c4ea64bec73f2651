"""A configuration that does not parse, told in one line with the nearest name that would have been right.

The parser's own messages run over fifteen lines and the usage over seventy more. No promise fixes the wording that is
read here: a message of another form is folded into one line as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module

from jsonargparse import ArgumentParser
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser

import safeguards
from safeguards.tracking import safe_line

__all__ = ["one_line", "wrong_key"]

TOP_LEVEL = ("trainer", "seed_everything", "ckpt_path", "optimizer", "lr_scheduler", "config")
MODULES = tuple(f"{place}{part}" for place in ("model", "data") for part in ("", ".class_path", ".init_args"))
_WRONG_KEY = re.compile(
    r"^(?:Group '(?P<group>[^']+)' does not accept option '|Option '|unrecognized arguments: --)(?P<wrong>[^'\s=]+)"
)
_KIND = r"(?:<class '([^']+)'>|typing\.Literal\[([^\]]*)\])"
_VALUE = re.compile(r"((?:Got|Given) value: )(.*)")
FOLDED_LENGTH = 300  # characters of a message that has no other form: enough for the key and what is wrong
LISTED = 16  # names that a reader takes in at a glance


def one_line(message: str) -> str:
    """The key, what is wrong with it, and the nearest valid name; no value that is a secret."""
    message = _VALUE.sub(lambda found: f"{found[1]}{_shown(_key_before(found), found[2])}", message)
    for pattern, explain in _FORMS:
        found = re.search(pattern, message)
        if found:
            return _key(message) + safe_line(explain(found))
    return _fold(message)


def wrong_key(message: str, keys: Iterable[str]) -> str | None:
    """What ``message`` says of a key that a command does not have, with the nearest of its ``keys``; None otherwise."""
    found = _WRONG_KEY.search(message)
    if found is None:
        return None
    wrong = ".".join(part for part in (found["group"], found["wrong"]) if part)
    return safe_line(f"there is no key {wrong!r}{_nearest(wrong, keys)}")


def _key_before(found: re.Match[str]) -> str:
    keys = re.findall(r'Parser key "([^"]+)"', found.string[: found.start()])
    return keys[-1] if keys else "value"


def _shown(key: str, value: str) -> str:
    """A value as a message may quote it: what stands under ``key`` may be a secret by that name or by its form."""
    return safe_line(f"{key}={value}").removeprefix(f"{key}=")


def _key(message: str) -> str:
    found = re.search(r'Parser key "([^"]+)"', message)
    return f"{found[1]}: " if found else ""


def _option_of_class(found: re.Match[str]) -> str:
    path, wrong = found["path"], found["wrong"].partition(".")[0]
    return f"{_last(path)} has no option {wrong!r}{_nearest(wrong, _options_of(path))}"


def _option_of_group(found: re.Match[str]) -> str:
    wrong = found["wrong"]
    return f"{found['group']} of {_last(found['path'])} has no option {wrong!r}{_nearest(wrong, _fields())}"


def _value_of_option(found: re.Match[str]) -> str:
    return f"{found['option']} of {_last(found['path'])} is {found['value']!r}; expected {_plain(found['wanted'])}"


def _member_of_option(found: re.Match[str]) -> str:
    options = ", ".join(field.name for field in fields(getattr(safeguards, found["kind"])))
    return f"{found['option']} of {_last(found['path'])}: {found['value']} is no {found['kind']}; give it {options}"


def _key_of_config(found: re.Match[str]) -> str:
    wrong = found["wrong"].partition("=")[0]
    return f"there is no key {wrong!r}{_nearest(wrong, _known_keys())}"


def _name_in_module(found: re.Match[str]) -> str:
    module, wrong = found["path"], found["wrong"]
    names = getattr(import_module(module), "__all__", None) or dir(import_module(module))
    return f"{module} has no {wrong!r}{_nearest(wrong, names)}"


def _short_name(found: re.Match[str]) -> str:
    wrong = found["wrong"]
    return f"there is no class {wrong!r}{_nearest(wrong, _class_names())}"


def _missing_file(found: re.Match[str]) -> str:
    return f"there is no file {found['wrong']}"


def _value(found: re.Match[str]) -> str:
    wanted = [_plain(kind[0].removeprefix("Expected a ")) for kind in re.finditer(rf"Expected a {_KIND}", found[0])]
    return f"expected {' or '.join(dict.fromkeys(wanted))}, not {found['value']}"


def _cause(found: re.Match[str]) -> str:
    return found["cause"]


def _groups() -> list[str]:
    return [name for name in safeguards.__all__ if is_dataclass(getattr(safeguards, name))]


def _plain(kinds: str) -> str:
    return re.sub(_KIND, r"\1\2", kinds).replace("NoneType", "null")


def _last(path: str) -> str:
    return path.rpartition(".")[2]


_FORMS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"class_path '(?P<path>[^']+)':\s+Option '(?P<wrong>[^']+)' is not accepted", _option_of_class),
    (
        r"class_path '(?P<path>[^']+)':\s+Group '(?P<group>[^']+)' does not accept option '(?P<wrong>\w+)",
        _option_of_group,
    ),
    (
        r"class_path '(?P<path>[^']+)':\s+Parser key \"(?P<option>[^\"]+)\":\s+Expected a (?P<wanted>.+)\. "
        r"Got value: (?P<value>.*)",
        _value_of_option,
    ),
    (
        r"class_path '(?P<path>[^']+)':\s+Parser key \"(?P<option>[^\"]+)\":\s+"
        rf"Not a valid subclass of (?P<kind>{'|'.join(_groups())})\. Got value: (?P<value>.*)",
        _member_of_option,
    ),
    (r"does not accept option '(?P<wrong>[^']+)'", _key_of_config),
    (r"^Option '(?P<wrong>[^']+)' is not accepted", _key_of_config),
    (r"File does not exist: '(?P<wrong>[^']+)'", _missing_file),
    (r"Expected a path but (?P<wrong>\S*(?:/|\.ya?ml)\S*) either not accessible", _missing_file),
    (r"unrecognized arguments: --(?P<wrong>\S+)", _key_of_config),
    (r"module '(?P<path>[^']+)' has no attribute '(?P<wrong>[^']+)'", _name_in_module),
    (r"(?:Expected a dot import path string|Unexpected import path format): (?P<wrong>\w+)\n", _short_name),
    (r"Errors:(?s:.*?)\n\s*- (?P<cause>(?!Expected a|Not a valid|Problem with|Does not|a ).+)", _cause),
    (rf"Expected a {_KIND}(?s:.*?)(?:Given|Got) value: (?P<value>.*)", _value),
)


def _nearest(wrong: str, names: Iterable[str]) -> str:
    known = sorted(name for name in set(names) if not name.startswith("_"))
    if close := get_close_matches(wrong, known, n=1, cutoff=0.5):
        return f"; did you mean {close[0]!r}?"
    if len(known) <= LISTED:
        return f"; it may be {', '.join(known)}"
    return f"; the nearest is {get_close_matches(wrong, known, n=1, cutoff=0.0)[0]!r}"


def _options_of(path: str) -> list[str]:
    module, _, name = path.rpartition(".")
    added = ArgumentParser().add_class_arguments(getattr(import_module(module), name), "it", fail_untyped=False)
    return [option.removeprefix("it.") for option in added]


def _fields() -> list[str]:
    return [field.name for group in _groups() for field in fields(getattr(safeguards, group))]


def _known_keys() -> list[str]:
    return [*TOP_LEVEL, *MODULES, *LightningArgumentParser().add_lightning_class_args(Trainer, "trainer")]


def _class_names() -> list[str]:
    found: list[str] = []
    waiting: list[type] = [Callback, LightningModule, LightningDataModule]
    while waiting:
        kind = waiting.pop()
        found.append(kind.__name__)
        waiting.extend(kind.__subclasses__())
    return found


def _fold(message: str) -> str:
    return safe_line(message)[:FOLDED_LENGTH]
