"""The live audit: hold the model in production against new data, labelled or not, without any training.

    python -m pipelines.audit --config conf/audit.yaml
    python -m pipelines.audit --config conf/audit.yaml --delivery deliveries/2026-48

It asks for drift, performance by group, calibration and the shift of predictions, and opens a retraining when k of the
last n audits alarmed. An opened retraining is trained by the next `python -m pipelines.retrain`. The same delivery with
the same model and settings is one audit: called again it says how it ended. Exit codes: 0 no retraining was opened; 7
one was; 4 there is no model in production; 5 another live audit of this model is at work; 6 the data are refused; 1 it
broke; 2 the configuration is wrong; 143 SIGTERM ended it. (`safeguards audit`, which checks the registry, is another.)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse.typing import Path_fr

from pipelines.codes import Parser, conclude, fields_of, without_places
from pipelines.told import ends_when_told
from safeguards.gate import Policy
from safeguards.retraining import Held, Job, LiveCheck, Look, Notice, Shelf, Trigger, only_one
from safeguards.tracking import ModelRegistry

__all__ = ["Settings", "audit", "command", "main", "parse"]

CALM, NO_MODEL, OPENED = 0, 4, 7
CODES: Mapping[str, int] = {"calm": CALM, "alarm": CALM, "opened": OPENED, "no model": NO_MODEL}


@dataclass(kw_only=True)
class Settings:
    """The keys of conf/audit.yaml, where each is explained."""

    model: str
    delivery: str
    files: dict[str, str]
    inputs: str
    target: str
    row_id: str
    look: Look
    check: LiveCheck
    trigger: Trigger
    policy: Path_fr
    labels: list[str] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    experiment: str = "live audits"
    tracking_uri: str | None = None
    directory: str = "safeguards_runs/retraining"
    keep: int = 50
    notice: Notice = field(default_factory=Notice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit as the command line says; the exit code."""
    settings, told = parse(arguments)
    with settings.notice.of_failure("live audit", Shelf(root=Path(settings.directory), model=settings.model)):
        return CODES[audit(settings, told)["ended"]]


def audit(settings: Settings, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data, then the steps; ``told`` are the settings as plain values, which make the job what it is."""
    shelf = Shelf(root=Path(settings.directory), model=settings.model)
    registry = ModelRegistry(settings.model, settings.tracking_uri, witness=shelf.folder)
    policy = Policy.read(settings.policy.absolute)
    with only_one(shelf.folder, f"live audit of {settings.model}"):
        version = registry.champion()
        if version is None:
            print(f"{settings.model}: there is no model in production to audit")
            return {"ended": "no model"}
        delivery = shelf.take(Path(settings.delivery))
        key = {"live audit": without_places(told), "delivery": delivery.manifest.fingerprint, "version": version}
        job = Job(shelf.job(key), key=key, told=lambda step: print(f"live audit: {step}", flush=True))
        shelf.clear(settings.keep, but=job.folder)
        held = Held(
            shelf=shelf,
            registry=registry,
            policy=policy,
            delivery=delivery,
            files=settings.files,
            fields=fields_of(settings),
            labels=settings.labels,
            look_for=settings.look,
            check=settings.check,
            trigger=settings.trigger,
            experiment=settings.experiment,
            tracking_uri=settings.tracking_uri,
        )
        ended = _steps(held, job, settings)
    print("\n".join([f"{settings.model}: {ended['ended']}", *ended["verdicts"], f"  {job.folder}"]))
    return ended


def _steps(held: Held, job: Job, settings: Settings) -> Mapping[str, Any]:
    """In order, each of them done once; a calm audit is told to nobody."""
    judged = job.step("judge", held.judge)
    noted = job.step("note", lambda _: held.note(judged, job.folder.name))
    job.step("publish", lambda at: held.publish(at, judged, f"audit-{job.folder.name}"))
    ended = {"model": settings.model, "delivery": settings.delivery, **held.ended(judged, noted)}
    if noted["alarm"]:
        job.step("tell", lambda _: settings.notice.tell(ended, key=job.key))
    return ended


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Mapping[str, Any]]:
    """The settings, and the same as plain values."""
    return Parser.read(Settings, "python -m pipelines.audit", __doc__, arguments)


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    return conclude(main)


if __name__ == "__main__":
    sys.exit(ends_when_told(command))
