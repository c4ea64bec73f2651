"""Take in new data and, where that is called for, train a challenger and let the gate decide who is champion.

    python -m pipelines.retrain --config conf/retrain.yaml
    python -m pipelines.retrain --config conf/retrain.yaml --delivery deliveries/2026-48 --force true

The same delivery with the same configuration is one job: called again after a crash or kill -9 it goes on, called again
after its end it says how it ended. Exit codes: 0 the challenger is champion now; 3 the gate kept the champion, the
safeguards ended the training, or another model is champion since; 4 nothing called for a retraining; 5 another
retraining of this model is at work; 6 the data are refused; 1 it broke; 2 the configuration is wrong; 143
SIGTERM ended it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jsonargparse.typing import Path_fr

from pipelines.codes import Parser, conclude, fields_of, without_places
from pipelines.told import ends_when_told
from pipelines.train import FIT, read
from safeguards import ConfigurationError, SafeguardError
from safeguards.card import Stated
from safeguards.gate import Policy
from safeguards.retraining import (
    COMPLETE,
    Attack,
    Audit,
    Job,
    Look,
    Notice,
    Round,
    SearchFor,
    Shelf,
    as_of_now,
    carded,
    carded_again,
    conclusion,
    ending,
    only_one,
    prune,
)
from safeguards.tracking import ModelRegistry, safe_line

__all__ = ["Settings", "command", "main", "parse", "retrain"]

PROMOTED, KEPT, NOTHING_TO_DO = 0, 3, 4
CODES: Mapping[str, int] = {"promoted": PROMOTED, "kept": KEPT, "nothing to do": NOTHING_TO_DO}


@dataclass(kw_only=True)
class Settings:
    """The keys of conf/retrain.yaml, where each is explained."""

    model: str
    train: list[Path_fr]
    delivery: str
    files: dict[str, str]
    frozen: dict[str, str]
    inputs: str
    target: str
    row_id: str
    policy: Path_fr
    look: Look
    groups: dict[str, str] = field(default_factory=dict)
    attack: Attack | None = None
    when: Literal["new data", "drift", "audit"] = "new data"
    force: bool = False
    search: SearchFor | None = None
    objective: str = "val_loss"
    seconds: float | None = None
    code: list[str] = field(default_factory=lambda: ["pipelines"])
    lock: str = "requirements.lock"
    card: Path_fr | None = None
    review: str | None = None
    tracking_uri: str | None = None
    directory: str = "safeguards_runs/retraining"
    keep: int | None = None
    notice: Notice = field(default_factory=Notice)

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep < 1:
            raise ConfigurationError(f"keep: {self.keep!r}: expected 1 or more retrainings, or null for all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Retrain as the command line says; the exit code."""
    settings, told = parse(arguments)
    with settings.notice.of_failure("retraining", Shelf(root=Path(settings.directory), model=settings.model)):
        return CODES[retrain(settings, told)["ended"]]


def retrain(settings: Settings, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data, then the steps; ``told`` are the settings as plain values, which make the job what it is."""
    shelf = Shelf(root=Path(settings.directory), model=settings.model)
    training = read([Path(file.absolute) for file in settings.train])
    policy = Policy.read(settings.policy.absolute)
    registry = ModelRegistry(settings.model, settings.tracking_uri, witness=shelf.folder)
    with only_one(shelf.folder, f"retraining of {settings.model}"):
        delivery = shelf.take(Path(settings.delivery))
        opened = shelf.audits.opened(delivery.manifest.fingerprint)
        key = {"delivery": delivery.manifest.fingerprint, "settings": without_places(told), "training": training}
        key |= {} if opened is None else {"opened": [opened.data, opened.model]}
        this = Round(
            job=Job(shelf.job(key), key=key, told=_say),
            shelf=shelf,
            registry=registry,
            policy=policy,
            delivery=delivery,
            training=training,
            files=settings.files,
            frozen=settings.frozen,
            fields=fields_of(settings),
            attack=settings.attack,
            look_for=settings.look,
            objective=settings.objective,
            seconds=settings.seconds,
            code=settings.code,
            lock=settings.lock,
            stated=Stated.read(None if settings.card is None else settings.card.absolute),
            tracking_uri=settings.tracking_uri,
            links=settings.review,
            command=FIT,
            read=read,
        )
        ended = as_of_now(_steps(this, settings, opened), registry.champion)
        if settings.keep is not None:
            _prune(this, settings.keep)
    print(conclusion(ended))
    return ended


def _steps(this: Round, settings: Settings, opened: Audit | None) -> Mapping[str, Any]:
    """In order, each of them done once; those after a training are only for one that came to its end."""
    job, wanted = this.job, settings.search
    job.step("meet", this.meet)
    seen = job.step("look", lambda at: this.look(at, forced=settings.force, when=settings.when, opened=opened))
    why = seen["reason"]
    about = {"model": settings.model, "delivery": settings.delivery, "decision": why, "job": str(job.folder)}
    ended = ending(about)
    if seen["retrain"]:
        found = {} if wanted is None else job.step("search", lambda at: this.search(at, wanted))
        trained = job.step("train", lambda at: this.train(at, found))
        ended = ending(about, trained)
        if trained["state"] == COMPLETE:
            answers = job.step("compare", lambda at: this.compare(at, found))
            job.step("seal", lambda at: this.seal(at, answers, found))
            ruled = job.step("rule", lambda _: this.rule(why), given={"policy": this.policy.digest})
            ended = ending(about, trained, ruled, carded(job, lambda at: this.card(at, ruled)))
        if opened is not None:
            job.step("answer", lambda _: this.answer(opened))
    job.step("tell", lambda _: settings.notice.tell(ended, key=job.key))
    return carded_again(job, lambda at: this.card(at, ended), ended)


def _prune(this: Round, keep: int) -> None:
    """How the retraining ended stays so, whatever hinders this; the next one removes the more."""
    try:
        prune(this.shelf, this.registry, keep=keep, but=this.job.folder)
    except (SafeguardError, OSError) as error:
        print(f"warning: not everything old was removed: {safe_line(error)}", file=sys.stderr)


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Mapping[str, Any]]:
    """The settings, and the same as plain values."""
    return Parser.read(Settings, "python -m pipelines.retrain", __doc__, arguments)


def _say(step: str) -> None:
    print(f"retraining: {step}", flush=True)


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    return conclude(main)


if __name__ == "__main__":
    sys.exit(ends_when_told(command))
