"""`safeguards promote`, `rollback`, `history`, `countersign` and `audit`: the gate at the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safeguards.tracking import ModelRegistry

__all__ = ["add_commands"]


POLICY = Path("conf/policy.yaml")


def add_commands(commands: Any, *, tracking_uri: str) -> None:
    """Add them to the parser's commands; ``tracking_uri`` is the store unless another is named."""
    promote = _command(
        commands, "promote", "Promote a candidate to champion, or refuse it with every reason.", _promote
    )
    promote.add_argument("folder", type=Path, metavar="FOLDER", help="holds record.json and model/")
    promote.add_argument("--policy", type=Path, default=POLICY, help=f"(default: {POLICY})")
    promote.add_argument("--why", default="", help="for the history")
    promote.add_argument(
        "--run", type=Path, dest="directory", metavar="DIR", help="of the run, to ask its spool and ledger too"
    )
    rollback = _command(commands, "rollback", "Make an earlier champion the champion again.", _rollback)
    rollback.add_argument("--to", type=int, metavar="N", help="its version (default: the one under it)")
    rollback.add_argument("--why", default="", help="for the history")
    tried = rollback.add_mutually_exclusive_group()
    tried.add_argument(
        "--policy", type=Path, help=f"says what may be loaded, to try the model first (default: {POLICY}, if there)"
    )
    tried.add_argument("--no-policy", action="store_true", help="load nothing, whatever policy is there: digests alone")
    history = _command(commands, "history", "Print who made which version champion, when and why.", _history)
    audit = _command(
        commands, "audit", "Find what the gate did not do: moved aliases, changed files, old waivers.", _audit
    )
    audit.add_argument("--policy", type=Path, help="whose waivers are looked at too")
    countersign = _command(
        commands, "countersign", "Vouch with this host's key for a history and its records as they stand.", _countersign
    )
    countersign.add_argument("--why", default="", help="for the history")
    for command in (rollback, history, countersign, audit):
        command.add_argument("model", metavar="MODEL", help="its name in the registry")
    for command in (promote, rollback, history, countersign, audit):
        command.add_argument("--tracking-uri", default=tracking_uri, help="MLflow's store")


def _command(commands: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    return command


def _promote(asked: argparse.Namespace) -> int:
    from safeguards.gate import Policy, Record, promote
    from safeguards.tracking import ModelRegistry

    policy = Policy.read(asked.policy)
    model = Record.read(asked.folder / "record.json").model
    registry = ModelRegistry(model, asked.tracking_uri)
    ruling = promote(asked.folder, policy=policy, registry=registry, why=asked.why, run=asked.directory)
    for reason in (*ruling.reasons, *ruling.waived):
        print(_printable(reason))
    if not asked.quiet:
        print(f"{model}: {'promoted' if ruling.admitted else 'refused'}, version {ruling.version or 'none'}")
    return 0 if ruling.admitted else 1


def _rollback(asked: argparse.Namespace) -> int:
    from safeguards.gate import Policy, rollback

    place = asked.policy or (POLICY if POLICY.exists() and not asked.no_policy else None)
    policy = None if place is None else Policy.read(place)
    version = rollback(_known(asked), to=asked.to, why=asked.why, policy=policy)
    if not asked.quiet:
        told = "" if policy else "; its digests are right, and without --policy it was not loaded"
        print(f"{asked.model}: version {version} is champion{told}")
    return 0


def _history(asked: argparse.Namespace) -> int:
    from safeguards.gate import History

    found = History.read(_known(asked))
    for one in () if asked.quiet else found.entries:
        move = f"version {one.version or 'none'}, champion {one.before or 'none'} -> {one.after or 'none'}"
        print(_printable(f"{one.number}  {one.when}  {one.action} {move}  {one.who}  {one.why}"))
    for problem in found.problems:
        print(_printable(problem))
    return 1 if found.problems else 0


def _countersign(asked: argparse.Namespace) -> int:
    from safeguards.gate import countersign

    number = countersign(_known(asked), why=asked.why)
    if not asked.quiet:
        print(f"{asked.model}: entry {number} vouches for the history before it")
    return 0


def _audit(asked: argparse.Namespace) -> int:
    from safeguards.gate import Policy, audit

    policy = None if asked.policy is None else Policy.read(asked.policy)
    findings = audit(_known(asked), policy=policy)
    for finding in findings:
        print(_printable(str(finding)))
    if not asked.quiet:
        print(f"{asked.model}: {len(findings)} findings")
    return 1 if findings else 0


def _known(asked: argparse.Namespace) -> ModelRegistry:
    """The model's registry; a database that is missing is not made.

    Raises `RegistryError` where nothing is known of it: a slip in name or address must not look like a model in order.
    """
    from safeguards.core.errors import RegistryError
    from safeguards.gate import History
    from safeguards.tracking import ModelRegistry
    from safeguards.tracking.store import database_file

    file = database_file(asked.tracking_uri)
    if file is not None and not file.exists():
        raise RegistryError(f"there is no database {file}; name the store of the model by --tracking-uri")
    registry = ModelRegistry(asked.model, asked.tracking_uri)
    found = History.read(registry)
    if not (found.entries or found.problems or registry.versions()):
        raise RegistryError(
            f"{asked.model!r} has neither a version nor a history in this store; look at the name and --tracking-uri"
        )
    return registry


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
