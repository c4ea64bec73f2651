"""The command line, a file in `safeguards/_cli` for each family of commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safeguards._cli import doctor, gate, init, review, sync, verdicts
from safeguards.core.errors import SafeguardError
from safeguards.core.redact import safe_line
from safeguards.tracking.store import DEFAULT_URI

__all__ = ["main"]

EXIT_CODES = """\
exit codes:
  0  all is well: every check is healthy, every verdict lets the model through, all is sent, the files are copied,
     the candidate is promoted, the audit finds nothing
  1  it is not: a check found a problem, a verdict is missing, damaged or does not let the model through,
     something is not sent or may not be read, the candidate is refused, the audit found something
  2  the command could not do its work, for a model that the store does not know too; one line on standard error
     says why and what to do
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; raises ``SystemExit`` with code 2 on unknown arguments."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except (SafeguardError, OSError) as error:
        print(f"safeguards {asked.command}: {safe_line(error)}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = _CommandParser(prog="safeguards", description=__doc__, epilog=EXIT_CODES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    text = "Check this machine: versions, locks of dead builds, compiler, tracking store, unsent spools, processes."
    command = commands.add_parser("doctor", help=text, description=text)
    default = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    command.add_argument("--tracking-uri", default=default, help="MLflow's store (default: $MLFLOW_TRACKING_URI)")
    command.add_argument(
        "--spool", action="append", default=[], type=Path, metavar="DIR", help="one that MLflowTracker(spool=DIR) names"
    )
    command.set_defaults(
        run=lambda asked: doctor.run(tracking_uri=asked.tracking_uri, spool=asked.spool, quiet=asked.quiet)
    )

    text = "Print the verdicts of a run as a table."
    command = commands.add_parser("verdicts", help=text, description=text)
    command.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a verdicts.jsonl (default: the newest)")
    command.set_defaults(run=lambda asked: verdicts.run(file=asked.file, quiet=asked.quiet))

    text = "Send what jobs below DIR could not send to their tracking store; again, or beside another, it does no harm."
    command = commands.add_parser("sync", help=text, description=text)
    command.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: here")
    command.add_argument("--tracking-uri", help="of a store whose address holds a password, which no spool keeps")
    command.set_defaults(
        run=lambda asked: sync.run(directory=asked.directory, tracking_uri=asked.tracking_uri, quiet=asked.quiet)
    )

    text = "Copy the reference application into DIR: pipelines/, conf/, the Dockerfile and the lock it builds from."
    command = commands.add_parser("init", help=text, description=text)
    command.add_argument("directory", type=Path, metavar="DIR", help="made when missing; nothing in it is overwritten")
    command.set_defaults(run=lambda asked: init.run(directory=asked.directory, quiet=asked.quiet))

    text = "Show the runs of a store against their safeguards, in a browser. Nothing is written."
    command = commands.add_parser("review", help=text, description=text)
    command.add_argument("--tracking-uri", default=default, help="MLflow's store (default: $MLFLOW_TRACKING_URI)")
    command.add_argument("--host", default="127.0.0.1", help="where to listen (default: this machine alone)")
    command.add_argument("--port", type=int, default=5080, help="0 takes any that is free (default: 5080)")
    command.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name under which browsers ask for it"
    )
    command.set_defaults(
        run=lambda asked: review.run(
            tracking_uri=asked.tracking_uri,
            host=asked.host,
            port=asked.port,
            hosts=asked.allow_host,
            quiet=asked.quiet,
        )
    )

    gate.add_commands(commands, tracking_uri=default)

    for command in commands.choices.values():
        command.epilog = EXIT_CODES
        command.add_argument("--quiet", action="store_true", help="no progress, and print only what is wrong")
    return parser


class _CommandParser(argparse.ArgumentParser):
    """Keeps the lines of the exit codes as they are, in the help of each command too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)


if __name__ == "__main__":
    sys.exit(main())
