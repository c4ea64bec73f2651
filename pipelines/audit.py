"""The live audit: hold the model in production against new data, labelled or not, without any training.

    python -m pipelines.audit --config conf/audit.yaml
    python -m pipelines.audit --config conf/audit.yaml --delivery deliveries/2026-48

It asks for drift, performance by group, calibration and the shift of predictions, and opens a retraining when k of the
last n audits alarmed. An opened retraining is trained by the next `python -m pipelines.retrain`. The same delivery with
the same model and settings is one audit: called again it says how it ended. Exit codes: 0 no retraining was opened; 7
one was; 4 there is no model in production; 5 another live audit of this model is at work; 6 the data are refused; 1 it
broke; 2 the configuration is wrong. (`safeguards audit` is another thing: it checks the registry.)
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse.typing import Path_fr

from pipelines.asking import asked_of, paths_of
from pipelines.codes import Parser, conclude
from safeguards import BatchFields, Verdict
from safeguards.gate import Policy, champion, load_model
from safeguards.retraining import (
    DataRefused,
    Delivery,
    Job,
    LiveCheck,
    Look,
    Notice,
    Shelf,
    Trigger,
    alarms,
    lacks,
    only_one,
    publish_audit,
    refuse_broken,
    write_ledger,
)
from safeguards.search import place
from safeguards.tracking import ModelRegistry

__all__ = ["Settings", "audit", "command", "main", "parse"]

CALM, NO_MODEL, OPENED = 0, 4, 7
PLACES = ("delivery", "directory", "notice")  # the same audit elsewhere is the same audit
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
    notice: Notice = field(default_factory=Notice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit as the command line says; the exit code."""
    settings, told = parse(arguments)
    return CODES[audit(settings, told)["ended"]]


def audit(settings: Settings, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The steps of a live audit, in order; ``told`` are the settings as plain values."""
    shelf = Shelf(root=Path(settings.directory), model=settings.model)
    registry = ModelRegistry(settings.model, settings.tracking_uri)
    policy = Policy.read(settings.policy.absolute)
    with only_one(shelf.folder, f"live audit of {settings.model}"):
        version = registry.champion()
        if version is None:
            print(f"{settings.model}: there is no model in production to audit")
            return {"ended": "no model"}
        try:
            delivery = shelf.take(Path(settings.delivery))
            made_of = {name: value for name, value in told.items() if name not in PLACES}
            key = {"live audit": made_of, "delivery": delivery.manifest.fingerprint, "version": version}
            job = Job(shelf.job(key), key=key, told=lambda step: print(f"live audit: {step}", flush=True))
            held = Held(settings=settings, shelf=shelf, registry=registry, policy=policy, delivery=delivery)
            ended = _steps(held, job)
        except DataRefused as refused:
            settings.notice.send({"model": settings.model, "ended": "data refused", "why": str(refused)}, key="refused")
            raise
    print("\n".join([f"{settings.model}: {ended['ended']}", *ended["verdicts"], f"  {job.folder}"]))
    return ended


def _steps(held: Held, job: Job) -> Mapping[str, Any]:
    judged = job.step("judge", held.judge)
    noted = job.step("note", lambda _: held.note(judged, job.folder.name))
    job.step("publish", lambda at: held.publish(at, judged, f"audit-{job.folder.name}"))
    ended = "opened" if noted["opened"] else "alarm" if noted["alarm"] else "calm"
    told = [f"  {one['measure']}: {one['outcome']}, {one['reason']}" for one in judged["verdicts"]]
    said = {"model": held.settings.model, "delivery": held.settings.delivery, "ended": ended, "verdicts": told}
    if noted["alarm"]:
        job.step("tell", lambda _: {"failures": held.settings.notice.send(said, key=job.key)})
    return said


@dataclass(frozen=True, kw_only=True)
class Held:
    """The model in production, held against a delivery."""

    settings: Settings
    shelf: Shelf
    registry: ModelRegistry
    policy: Policy
    delivery: Delivery

    def judge(self, folder: Path) -> Mapping[str, Any]:
        """Drift of the columns, then what the model answers on the new rows beside what it answered on its own."""
        unlabelled = lacks(self.delivery, self.settings.labels)
        with tempfile.TemporaryDirectory() as fetched:
            reigning = champion(self.registry, Path(fetched))
            if reigning is None:
                raise DataRefused("the model in production was withdrawn meanwhile; call this again")
            learned_from = self.shelf.learned_from(reigning.record.data)
            columns, drift = self.settings.look.compare(
                learned_from, self.delivery, but=self.settings.labels if unlabelled else ()
            )
            refuse_broken(columns)
            training = self.shelf.training(reigning.record.config)
            module = load_model(reigning.stored, allowed=self.policy.classes)
        verdicts = self.settings.check.judge(
            drift=drift,
            drift_limit=self.settings.look.limit,
            now=asked_of(
                module, place(training, paths_of(self.settings.files, self.delivery)), self._fields(unlabelled)
            ),
            before=asked_of(module, training, self._fields(unlabelled=False)),
            step=len(self.shelf.audits.past()),
        )
        write_ledger(folder, verdicts)
        return {"model": reigning.record.digest, "verdicts": [verdict.to_dict() for verdict in verdicts]}

    def _fields(self, unlabelled: bool) -> BatchFields:
        asked = self.settings
        target = None if unlabelled else asked.target
        return BatchFields(inputs=asked.inputs, target=target, row_id=asked.row_id, groups=asked.groups)

    def note(self, judged: Mapping[str, Any], job: str) -> Mapping[str, Any]:
        """Write in the book of audits whether this one alarms, and whether that opens a retraining."""
        reasons = alarms(_verdicts(judged))
        noted = self.shelf.audits.note(
            data=self.delivery.manifest.fingerprint,
            model=judged["model"],
            reasons=reasons,
            trigger=self.settings.trigger,
            job=job,
        )
        return {"alarm": noted.alarm, "opened": noted.opened}

    def publish(self, folder: Path, judged: Mapping[str, Any], run_id: str) -> Mapping[str, Any]:
        """Keep the verdicts in MLflow."""
        verdicts = _verdicts(judged)
        write_ledger(folder, verdicts)
        publish_audit(
            verdicts,
            folder,
            run_id=run_id,
            name=f"live audit of {self.settings.model}",
            experiment=self.settings.experiment,
            tracking_uri=self.settings.tracking_uri,
            tags={"live_audit.model": self.settings.model, "live_audit.record": judged["model"]},
        )
        return {}


def _verdicts(judged: Mapping[str, Any]) -> tuple[Verdict, ...]:
    return tuple(Verdict.from_dict(one) for one in judged["verdicts"])


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Mapping[str, Any]]:
    """The settings, and the same as plain values."""
    return Parser.read(Settings, "python -m pipelines.audit", __doc__, arguments)


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    return conclude(main)


if __name__ == "__main__":
    sys.exit(command())
