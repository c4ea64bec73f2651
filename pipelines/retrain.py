"""Take in new data and, where that is called for, train a challenger and let the gate decide who is champion.

    python -m pipelines.retrain --config conf/retrain.yaml
    python -m pipelines.retrain --config conf/retrain.yaml --delivery deliveries/2026-48 --force true

The same delivery with the same configuration is one job: called again after a crash or kill -9 it goes on, called again
after its end it says how it ended. Exit codes: 0 the challenger is champion now; 3 the gate kept the champion, or the
safeguards ended the training; 4 nothing called for a retraining; 5 another retraining of this model is at work; 6 the
data are refused; 1 it broke; 2 the configuration is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jsonargparse.typing import Path_fr

from pipelines.codes import Parser, conclude
from pipelines.rounds import Round
from pipelines.train import read
from pipelines.warm import SearchFor
from safeguards import SafeguardError
from safeguards.card import Stated
from safeguards.gate import Candidate, Policy
from safeguards.retraining import Attack, Audit, DataRefused, Job, Look, Notice, Shelf, only_one
from safeguards.tracking import ModelRegistry, safe_line

__all__ = ["Settings", "command", "main", "parse", "retrain"]

PROMOTED, KEPT, NOTHING_TO_DO = 0, 3, 4
PLACES = ("delivery", "directory", "notice")  # the same job elsewhere is the same job
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
    notice: Notice = field(default_factory=Notice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Retrain as the command line says; the exit code."""
    settings, told = parse(arguments)
    return CODES[retrain(settings, told)["ended"]]


def retrain(settings: Settings, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The steps of a retraining, in order; ``told`` are the settings as plain values, which make the job what it is."""
    shelf = Shelf(root=Path(settings.directory), model=settings.model)
    training = read([Path(file.absolute) for file in settings.train])
    policy = Policy.read(settings.policy.absolute)
    registry = ModelRegistry(settings.model, settings.tracking_uri)
    with only_one(shelf.folder, f"retraining of {settings.model}"):
        try:
            delivery = shelf.take(Path(settings.delivery))
            made_of = {name: value for name, value in told.items() if name not in PLACES}
            opened = shelf.audits.opened(delivery.manifest.fingerprint)
            key = {"delivery": delivery.manifest.fingerprint, "settings": made_of, "training": training}
            key |= {} if opened is None else {"opened": [opened.data, opened.model]}
            job = Job(shelf.job(key), key=key, told=_say)
            this = Round(
                shelf=shelf,
                registry=registry,
                policy=policy,
                delivery=delivery,
                training=training,
                files=settings.files,
                frozen=settings.frozen,
                fields={name: getattr(settings, name) for name in ("inputs", "target", "row_id", "groups")},
                attack=settings.attack,
                look_for=settings.look,
                objective=settings.objective,
                seconds=settings.seconds,
                code=settings.code,
                lock=settings.lock,
                stated=Stated.read(None if settings.card is None else settings.card.absolute),
                tracking_uri=settings.tracking_uri,
                links=settings.review,
            )
            ended = _steps(this, job, settings, opened)
        except DataRefused as refused:
            settings.notice.send({"model": settings.model, "ended": "data refused", "why": str(refused)}, key="refused")
            raise
    print(_conclusion(ended))
    return ended


def _steps(this: Round, job: Job, settings: Settings, opened: Audit | None) -> Mapping[str, Any]:
    met = job.step("meet", this.meet)
    reigning = Candidate.read(job.place("meet")) if met["champion"] else None
    seen = job.step(
        "look", lambda at: this.look(at, reigning, forced=settings.force, when=settings.when, opened=opened)
    )
    told = {"model": settings.model, "delivery": settings.delivery, "decision": seen["reason"], "job": str(job.folder)}
    ended: Mapping[str, Any] = {**told, "ended": "nothing to do", "reasons": []}
    if seen["retrain"]:
        ended = _trained(this, job, reigning, told, search=settings.search, why=seen["reason"])
        if opened is not None:
            job.step("answer", lambda _: this.answer(opened))
    job.step("tell", lambda _: {"failures": settings.notice.send(ended, key=job.key)})
    return _with_card(this, job, reigning, ended) if "no_card" in ended else ended


def _trained(
    this: Round,
    job: Job,
    reigning: Candidate | None,
    told: Mapping[str, Any],
    *,
    search: SearchFor | None,
    why: str,
) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {}
    if search is not None:
        found = job.step("search", lambda at: this.search(at, search, reigning))
    trained = job.step("train", lambda at: this.train(at, found))
    if trained["state"] != "complete":
        return {**told, "ended": "kept", "reasons": [f"the safeguards ended the training: {trained['reason']}"]}
    answers = job.step("compare", lambda at: this.compare(at, job.place("train"), reigning, found))
    job.step("seal", lambda at: this.seal(at, job.place("train"), reigning, answers, found))
    policy = {"policy": this.policy.digest}  # another policy rules anew
    ruled = job.step("rule", lambda _: this.rule(job.place("seal"), job.place("train"), why=why), given=policy)
    card = job.step("card", lambda at: _card(this, at, job.place("seal"), reigning, ruled))
    found = {"card": str(job.place("card") / card["card"])} if "card" in card else card
    return {**told, "ended": "promoted" if ruled["admitted"] else "kept", **ruled, **found}


def _card(
    this: Round, folder: Path, sealed: Path, reigning: Candidate | None, ruled: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The card, or why there is none: who waits for an answer or for news does not wait for it."""
    try:
        return this.card(folder, sealed, reigning, ruled)
    except Exception as error:  # whatever is wrong with the card, the ruling stands
        return {"no_card": _why(error)}


def _with_card(this: Round, job: Job, reigning: Candidate | None, ended: Mapping[str, Any]) -> Mapping[str, Any]:
    """Once more the card that could not be written, now that all is answered and told."""
    try:
        card = job.step("card-again", lambda at: this.card(at, job.place("seal"), reigning, ended))
    except Exception as error:  # the step is not done, and the next call tries it
        return {**ended, "no_card": _why(error)}
    return {**ended, "card": str(job.place("card-again") / card["card"])}


def _why(error: Exception) -> str:
    return safe_line(error if isinstance(error, SafeguardError) else f"{type(error).__name__}: {error}")


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Mapping[str, Any]]:
    """The settings, and the same as plain values."""
    return Parser.read(Settings, "python -m pipelines.retrain", __doc__, arguments)


def _say(step: str) -> None:
    print(f"retraining: {step}", flush=True)


def _conclusion(ended: Mapping[str, Any]) -> str:
    told = [
        f"{ended['model']}: {ended['ended']}; {ended['decision']}",
        *(f"  {safe_line(why)}" for why in ended["reasons"]),
    ]
    if "no_card" in ended and "card" not in ended:
        told.append(f"  the card is not written: {ended['no_card']}; call this again to write it")
    return "\n".join([*told, f"  {ended.get('card', ended['job'])}"])


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    return conclude(main)


if __name__ == "__main__":
    sys.exit(command())
