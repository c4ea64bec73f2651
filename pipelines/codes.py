"""What the commands around a retraining share: a parser that answers in one line, and the exit codes of errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import yaml
from jsonargparse import ArgumentParser

from safeguards import ConfigurationError, SafeguardError
from safeguards.retraining import AlreadyRunning, DataRefused
from safeguards.tracking import safe_line

__all__ = [
    "ANOTHER_AT_WORK",
    "BROKE",
    "DATA_REFUSED",
    "WRONG_CONFIGURATION",
    "Parser",
    "conclude",
    "fields_of",
    "without_places",
]

PLACES = ("delivery", "directory", "keep", "notice")
AGAIN = "mend that and call this again, what is done is not done again"
BROKE, WRONG_CONFIGURATION, ANOTHER_AT_WORK, DATA_REFUSED = 1, 2, 5, 6
FAILURES: Mapping[type[SafeguardError], int] = {
    AlreadyRunning: ANOTHER_AT_WORK,
    DataRefused: DATA_REFUSED,
    ConfigurationError: WRONG_CONFIGURATION,
    SafeguardError: BROKE,
}

Settings = TypeVar("Settings")


class Parser(ArgumentParser):
    """Says what is wrong in one line."""

    keys: tuple[str, ...] = ()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a parser inside the parser: the outer one tells it
            super().error(message, ex)
        from pipelines.typos import one_line, wrong_key  # loads torch, which a scheduler that waits does without

        print(f"error: {wrong_key(message, self.keys) or one_line(message)}", file=sys.stderr)
        raise SystemExit(WRONG_CONFIGURATION) from ex

    @classmethod
    def read(
        cls, settings: type[Settings], prog: str, text: str | None, arguments: Sequence[str] | None
    ) -> tuple[Settings, Mapping[str, Any]]:
        """The settings of a command line and its files, and the same as plain values."""
        parser = cls(prog=prog, description=(text or "").partition("\n")[0])
        parser.add_argument("--config", action="config", help="a YAML file such as those in conf/")
        parser.add_class_arguments(settings)
        parser.keys = ("config", *parser.get_defaults().keys())
        given = parser.parse_args(arguments)
        given.pop("config")
        told = yaml.safe_load(parser.dump(given, skip_unset=False))
        return settings(**parser.instantiate(given).as_dict()), told


def without_places(told: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that make a job what it is: the same job elsewhere is the same job."""
    return {name: value for name, value in told.items() if name not in PLACES}


def fields_of(settings: object) -> dict[str, Any]:
    """Where a batch has what, by the settings that say so."""
    return {name: getattr(settings, name) for name in ("inputs", "target", "row_id", "groups")}


def conclude(main: Callable[[], int]) -> int:
    """The exit code of a command, with an error of one line where the fault is not in the code."""
    try:
        return main()
    except SafeguardError as error:
        print(f"error: {safe_line(error)}", file=sys.stderr)
        return next(code for kind, code in FAILURES.items() if isinstance(error, kind))
    except OSError as error:  # a full disk, a file system that is away: no fault of the data or of the code
        print(f"error: {safe_line(f'{type(error).__name__}: {error}')}; {AGAIN}", file=sys.stderr)
        return BROKE
    except SystemExit as ended:  # a parser has told why
        return int(ended.code or 0)
