"""One live audit, step by step. Each step works in a folder of its own and answers with plain values."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.batch import BatchFields
from safeguards.core.errors import DataRefused
from safeguards.core.verdict import Verdict
from safeguards.gate import champion, load_model
from safeguards.retraining.deciding import refuse_broken
from safeguards.retraining.live import alarms
from safeguards.retraining.looking import lacking
from safeguards.retraining.publishing import publish_audit, write_ledger
from safeguards.retraining.testrows import asked_of, paths_of
from safeguards.search import place
from safeguards.tracking import AUDITED

if TYPE_CHECKING:
    from safeguards.gate import Policy
    from safeguards.retraining.intake import Delivery
    from safeguards.retraining.live import LiveCheck
    from safeguards.retraining.looking import Look
    from safeguards.retraining.shelf import Shelf
    from safeguards.retraining.trigger import Trigger
    from safeguards.tracking import ModelRegistry

__all__ = ["Held"]

Plain = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Held:
    """The model in production, held against a delivery. Its methods are the steps of an audit, in their order.

    ``files`` says under which key of the model's training run a file of the delivery goes, ``fields`` where a batch has
    what; ``labels`` are the columns that a delivery may lack, in all rows or in some, because they come later.
    """

    shelf: Shelf
    registry: ModelRegistry
    policy: Policy
    delivery: Delivery
    files: Mapping[str, str]
    fields: Mapping[str, Any]
    labels: Sequence[str]
    look_for: Look
    check: LiveCheck
    trigger: Trigger
    experiment: str
    tracking_uri: str | None

    def judge(self, folder: Path) -> Plain:
        """Drift of the columns, then what the model answers on the new rows beside what it answered on its own.

        Raises `DataRefused` where new rows share a row id. Of its own that do, the first counts: that is no fault of
        the delivery.
        """
        later = lacking(self.delivery, self.labels)
        with tempfile.TemporaryDirectory() as fetched:
            reigning = champion(self.registry, Path(fetched))
            if reigning is None:
                raise DataRefused("the model in production was withdrawn meanwhile; call this again")
            learned_from = self.shelf.learned_from(reigning.record.data)
            columns, drift = self.look_for.compare(learned_from, self.delivery, but=tuple(later))
            refuse_broken(columns)
            training = self.shelf.training(reigning.record.config)
            module = load_model(reigning.stored, allowed=self.policy.classes)
        fields = BatchFields(**self.fields)
        unlabelled = bool(self.labels) and len(later) == len(self.labels) and not any(later.values())
        new = BatchFields(**{**self.fields, "target": None}) if unlabelled else fields
        verdicts = self.check.judge(
            drift=drift,
            drift_limit=self.look_for.limit,
            now=asked_of(module, place(training, paths_of(self.files, self.delivery)), new),
            before=asked_of(module, training, fields, first_of_each=True),
            step=len(self.shelf.audits.past()),
        )
        write_ledger(folder, verdicts)
        return {"model": reigning.record.digest, "verdicts": [verdict.to_dict() for verdict in verdicts]}

    def note(self, judged: Plain, job: str) -> Plain:
        """Write in the book of audits whether this one alarms, and whether that opens a retraining."""
        noted = self.shelf.audits.note(
            data=self.delivery.manifest.fingerprint,
            model=judged["model"],
            reasons=alarms(_verdicts(judged)),
            trigger=self.trigger,
            job=job,
        )
        return {"alarm": noted.alarm, "opened": noted.opened}

    def publish(self, folder: Path, judged: Plain, run_id: str) -> Plain:
        """Keep the verdicts in MLflow."""
        verdicts, model = _verdicts(judged), self.registry.name
        write_ledger(folder, verdicts)
        publish_audit(
            verdicts,
            folder,
            run_id=run_id,
            name=f"live audit of {model}",
            experiment=self.experiment,
            tracking_uri=self.tracking_uri,
            tags={"live_audit.model": model, AUDITED: judged["model"]},
        )
        return {}

    def ended(self, judged: Plain, noted: Plain) -> Plain:
        """How it ended, "opened", "alarm" or "calm", and a line for each verdict."""
        ended = "opened" if noted["opened"] else "alarm" if noted["alarm"] else "calm"
        told = [f"  {one['measure']}: {one['outcome']}, {one['reason']}" for one in judged["verdicts"]]
        return {"ended": ended, "verdicts": told}


def _verdicts(judged: Plain) -> tuple[Verdict, ...]:
    return tuple(Verdict.from_dict(one) for one in judged["verdicts"])
