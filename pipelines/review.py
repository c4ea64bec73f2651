"""Write the model cards of a registered model, and serve the review page over its tracking store.

    python -m pipelines.review --config conf/review.yaml
    python -m pipelines.review --config conf/review.yaml --serve false

Exit codes: 0 every card that was asked for is written, and the page was served until somebody ended it; 4 no version of
the model has a record; 1 a card is not written, with its reason, or the store broke; 2 the configuration is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jsonargparse.typing import Path_fr

from pipelines.codes import BROKE, Parser, conclude
from safeguards.card import Stated, VersionCard, review_address, serve_review, write_cards
from safeguards.tracking import ModelReader, RunReader, safe_line

__all__ = ["Settings", "command", "main", "parse"]

NO_MODEL = 4


@dataclass(kw_only=True)
class Settings:
    """The keys of conf/review.yaml, where each is explained."""

    model: str
    newest: int = 5
    stated: Path_fr | None = None
    directory: str = "safeguards_runs/cards"
    tracking_uri: str | None = None
    serve: bool = True
    host: str = "127.0.0.1"
    port: int = 5080
    hosts: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Review as the command line says; the exit code."""
    settings = parse(arguments)
    cards = written(settings)
    if settings.serve:
        serve_review(settings.tracking_uri, host=settings.host, port=settings.port, hosts=settings.hosts, say=_say)
    if not cards:
        return NO_MODEL
    return BROKE if any(card.problem for card in cards) else 0


def written(settings: Settings) -> list[VersionCard]:
    """The cards of the newest versions and of the champion; a line for each."""
    reader = RunReader(settings.tracking_uri)
    cards = write_cards(
        ModelReader(settings.model, reader),
        Path(settings.directory),
        newest=settings.newest,
        stated=Stated.read(None if settings.stated is None else settings.stated.absolute),
        reader=reader,
        links=review_address(settings.host, settings.port) if settings.serve and settings.port else None,
    )
    for card in cards:
        _say(f"{settings.model} version {card.version}: {card.path or f'no card: {safe_line(card.problem)}'}")
    if not cards:
        _say(f"{settings.model}: no version of this name has a record")
    return cards


def parse(arguments: Sequence[str] | None) -> Settings:
    """The settings of a command line and its files."""
    return Parser.read(Settings, "python -m pipelines.review", __doc__, arguments)[0]


def _say(text: str) -> None:
    print(text, flush=True)


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    return conclude(main)


if __name__ == "__main__":
    sys.exit(command())
