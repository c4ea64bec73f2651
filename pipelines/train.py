"""Train any LightningModule on any LightningDataModule with any safeguards.

    python -m pipelines.train fit --config conf/train.yaml
    python -m pipelines.train fit --config conf/train.yaml --config conf/strategy/cpu2.yaml
    python -m pipelines.train fit --config conf/train.yaml --trainer.callbacks+=conf/safeguards/fairness.yaml

A later ``--config`` goes over an earlier one. Exit codes: 0 the job ran, whatever the verdicts; 1 it broke; 2 the
configuration is wrong; 3 a safeguard with ``reaction: raise`` ended it; 143 SIGTERM did.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

import safeguards.deepspeed
from pipelines import data, models
from pipelines.processes import JobTrainer, leave_group
from pipelines.told import ends_when_told
from pipelines.typos import one_line
from safeguards import ConfigurationError, LimitViolated
from safeguards.tracking import SaveConfig, safe_line

__all__ = ["FIT", "command", "main", "read"]

FIT = ("-m", "pipelines.train", "fit")
"""What python is told to train with a further ``--config=FILE``: the processes of a search and of a retraining."""

SHORT_NAMES = [
    getattr(room, name) for room in (safeguards, data, models) for name in room.__all__
]  # loaded, hence known
WRONG_CONFIGURATION, LIMIT_VIOLATED = 2, 3


class _Parser(LightningArgumentParser):
    """Says what is wrong in one line, and takes no abbreviated key for a whole one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a parser inside the parser: the outer one tells it
            super().error(message, ex)
        print(f"error: {one_line(message)}", file=sys.stderr)
        raise SystemExit(WRONG_CONFIGURATION) from ex


class _Command(LightningCLI):
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """A module that asks for the number of ``features`` gets it from data that know it."""
        parser.link_arguments("data", "model.init_args.features", compute_fn=_features, apply_on="instantiate")

    def instantiate_classes(self) -> None:
        """A wrong value that only its class can tell is a wrong configuration too."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            print(f"error: {one_line(str(error))}", file=sys.stderr)
            raise SystemExit(WRONG_CONFIGURATION) from error


class _Reading(_Command):
    """Parses and checks; builds nothing, and leaves the seed alone."""

    def instantiate_classes(self) -> None:
        pass

    def _set_seed(self) -> None:
        pass


def _features(data: Any) -> Any:
    return getattr(data, "features", None)


def main(args: list[str] | None = None, *, run: bool = True) -> LightningCLI:
    """Parse ``args`` (default: the command line), build and run; with ``run=False`` only build."""
    return _command_line(_Command, args, run=run)


def read(files: Sequence[Path]) -> dict[str, Any]:
    """The configuration that these files give, later over earlier, with every default; nothing is built.

    Prints what is wrong in one line and raises ``SystemExit(2)`` when they do not parse.
    """
    with warnings.catch_warnings():  # Lightning warns where the process has arguments of its own
        warnings.simplefilter("ignore")
        read = _command_line(_Reading, [f"--config={file}" for file in files], run=False)
    whole: dict[str, Any] = yaml.safe_load(read.parser.dump(read.config, skip_unset=False))
    return whole


def _command_line(kind: type[LightningCLI], args: list[str] | None, *, run: bool) -> LightningCLI:
    return kind(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        parser_class=_Parser,
        save_config_callback=SaveConfig,
        trainer_class=JobTrainer,
        args=args,
        run=run,
    )


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    try:
        main()
    except LimitViolated as violated:
        print(f"error: {safe_line(violated)}", file=sys.stderr)
        leave_group()  # all ranks raise it together
        return LIMIT_VIOLATED
    except ConfigurationError as error:
        print(f"error: {safe_line(error)}", file=sys.stderr)
        return WRONG_CONFIGURATION
    leave_group()
    return 0


if __name__ == "__main__":
    sys.exit(ends_when_told(command))
