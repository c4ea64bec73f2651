"""One retraining, step by step. Each step works in a folder of its own and answers with plain values."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from pipelines.asking import asked_of, paths_of
from pipelines.train import FIT
from pipelines.warm import SearchFor, searched
from safeguards import BatchFields, SafeguardError
from safeguards.card import Stated, write_card
from safeguards.gate import (
    Candidate,
    Comparison,
    History,
    Policy,
    Record,
    Ruling,
    champion,
    load_model,
    promote,
    seal,
)
from safeguards.retraining import (
    DELIVERY,
    FROZEN,
    WEBHOOK,
    Attack,
    Audit,
    Delivery,
    Kept,
    Look,
    Shelf,
    compared,
    decision,
    refuse_broken,
)
from safeguards.search import QUIET, Torchrun, place
from safeguards.tracking import ModelRegistry, RunReader

__all__ = ["Round"]

CONFIG, COLUMNS, COMPARISONS, MODEL, RECORD = "config.yaml", "columns.yaml", "comparisons.yaml", "model", "record.json"
CARD = "card.html"
STUDY, STUDIES = "search.study", "searches.db"
TRACKER = "tracking: "
REPORTER, KEEPER = "safeguards.search.TrialReporter", "safeguards.retraining.KeepModel"
Plain = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one retraining is given.

    ``training`` is the configuration of the run, ``files`` and ``frozen`` say under which of its keys a file of the
    delivery goes: to be trained on, and to be asked about its test rows when another delivery is trained on.
    """

    shelf: Shelf
    registry: ModelRegistry
    policy: Policy
    delivery: Delivery
    training: Plain
    files: Mapping[str, str]
    frozen: Mapping[str, str]
    fields: Mapping[str, Any]
    attack: Attack | None
    look_for: Look
    objective: str
    seconds: float | None
    code: Sequence[str]
    lock: str
    stated: Stated
    tracking_uri: str | None
    links: str | None

    def meet(self, folder: Path) -> Plain:
        """Fetch the champion of this moment; the whole round is about it and no other."""
        found = champion(self.registry, folder)
        return {"champion": None if found is None else found.record.digest}

    def look(
        self, folder: Path, reigning: Candidate | None, *, forced: bool, when: str, opened: Audit | None = None
    ) -> Plain:
        """Hold schema and columns against the data that the champion learned from, and decide.

        ``when`` is "new data", "drift" or "audit"; a live audit that ``opened`` a retraining speaks of one champion.
        """
        spoken = opened if opened and reigning and opened.model == reigning.record.digest else None
        made = decision(
            champion=reigning is not None,
            same_data=reigning is not None and reigning.record.data.get(DELIVERY) == self.delivery.manifest.fingerprint,
            forced=forced,
            on_schedule=when == "new data",
            drift=None if reigning is None else self._drift(folder, reigning, forced=forced),
            limit=self.look_for.limit,
            opened=None if spoken is None else "; ".join(spoken.reasons),
            drift_counts=when != "audit",
        )
        return {
            "retrain": made.retrain,
            "reason": made.reason,
            "drift": None if made.drift is None else str(made.drift),
        }

    def _drift(self, folder: Path, reigning: Candidate, *, forced: bool) -> Any:
        columns, found = self.look_for.compare(self.shelf.learned_from(reigning.record.data), self.delivery)
        told = {name: one.plain() for name, one in columns.items()}
        (folder / COLUMNS).write_text(yaml.safe_dump(told, sort_keys=False))
        if not forced:
            refuse_broken(columns)
        return found

    def answer(self, opened: Audit) -> Plain:
        """The retraining that a live audit opened has run, whatever became of its challenger."""
        self.shelf.audits.answer(opened, data=self.delivery.manifest.fingerprint)
        return {}

    def job(self, found: Plain) -> Plain:
        """The training run on this delivery, with the values that a search ``found``, if there was one."""
        return place(place(self.training, paths_of(self.files, self.delivery)), found.get("parameters", {}))

    def search(self, folder: Path, asked: SearchFor, reigning: Candidate | None) -> Plain:
        """Look for better values before training, the champion's own first; the study lies beside the jobs."""
        before = None if reigning is None else self.shelf.training(reigning.record.config)
        told = {"search": asdict(asked), "training": self.training, "delivery": self.delivery.manifest.fingerprint}
        return searched(
            asked,
            self.job({}),
            folder.resolve(),
            storage=f"sqlite:///{self.shelf.folder.resolve() / STUDIES}",
            name=f"retraining-{sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]}",
            champion=before,
            earlier=None if reigning is None else reigning.record.notes.get(STUDY),
        )

    def train(self, folder: Path, found: Plain) -> Plain:
        """Train a challenger in processes of its own; what comes out lies in ``folder``."""
        whole = deepcopy(dict(self.job(found)))
        own = {
            REPORTER: {"objectives": [self.objective]},
            KEEPER: {"folder": str(folder.resolve()), "fields": dict(self.fields)},
        }
        callbacks = [{"class_path": path, "init_args": arguments} for path, arguments in own.items()]
        whole["trainer"] |= {
            **QUIET,
            "callbacks": [*(whole["trainer"]["callbacks"] or []), *callbacks],
            "default_root_dir": str(folder.resolve()),
        }
        (folder / CONFIG).write_text(yaml.safe_dump(whole, sort_keys=False))
        torchrun = Torchrun.of(
            whole,
            command=FIT,
            seconds=self.seconds,
            environment={name: value for name, value in os.environ.items() if name != WEBHOOK},
        )
        ending = torchrun.run([f"--config={folder / CONFIG}"], folder, lambda step, value: False)
        return {"state": ending.state, "reason": ending.reason, "values": dict(ending.values)}

    def compare(self, folder: Path, trained: Path, reigning: Candidate | None, found: Plain) -> Plain:
        """Ask both about the test rows of this delivery, each through data as it learned them."""
        fields = BatchFields(**self.fields)
        module = load_model(trained / MODEL, allowed=self.policy.classes)
        challenger = asked_of(module, self.job(found), fields, self.attack)
        if reigning is None:
            return {"frozen": challenger.rows, "comparisons": []}
        past = self.shelf.training(reigning.record.config)
        old = load_model(reigning.stored, allowed=self.policy.classes)
        theirs = asked_of(old, place(past, paths_of(self.frozen, self.delivery)), fields, self.attack)
        told = [one.to_dict() for one in compared(theirs, challenger)]
        (folder / COMPARISONS).write_text(yaml.safe_dump(told, sort_keys=False))
        return {"frozen": challenger.rows, "comparisons": told}

    def seal(self, folder: Path, trained: Path, reigning: Candidate | None, answers: Plain, found: Plain) -> Plain:
        """Put model and record together as the gate wants them."""
        kept = Kept.read(trained)
        shutil.copytree(kept.stored.folder, folder / MODEL)
        self.shelf.remember(self.job(found))
        seeds = {
            "training": self.training.get("seed_everything"),
            "attack": None if self.attack is None else self.attack.seed,
        }
        record = seal(
            kept.run,
            kept.stored,
            model=self.registry.name,
            config=self.job(found),
            code=[Path(name) for name in self.code],
            lock=self.lock,
            data={DELIVERY: self.delivery.manifest.fingerprint, FROZEN: answers["frozen"]},
            seeds={name: seed for name, seed in seeds.items() if isinstance(seed, int) and not isinstance(seed, bool)},
            tracking_run=kept.tracking_run,
            champion=None if reigning is None else reigning.record,
            comparisons=[Comparison.from_dict(one) for one in answers["comparisons"]],
            previous=self.registry.newest_record(),
            notes={STUDY: found["study"]} if "study" in found else None,
        )
        record.write(folder / RECORD)
        return {"record": record.digest}

    def rule(self, sealed: Path, trained: Path, why: str) -> Plain:
        """Let the gate decide; what it did already it does not do twice."""
        ruling = promote(sealed, policy=self.policy, registry=self.registry, why=why, run=Kept.read(trained).run)
        if ruling.reasons and all(one.startswith(TRACKER) for one in ruling.reasons):
            raise SafeguardError(f"the gate waits: {'; '.join(ruling.reasons)}; then call this again")
        return {
            "admitted": ruling.admitted,
            "reasons": list(ruling.reasons),
            "waived": list(ruling.waived),
            "version": ruling.version,
        }

    def card(self, folder: Path, sealed: Path, reigning: Candidate | None, ruled: Plain) -> Plain:
        """Write the model card of the challenger, promoted or not, with the ruling on it."""
        record = Record.read(sealed / RECORD)
        write_card(
            folder / CARD,
            record,
            champion=None if reigning is None else reigning.record,
            ruling=Ruling(
                admitted=ruled["admitted"],
                reasons=tuple(ruled["reasons"]),
                waived=tuple(ruled["waived"]),
                version=ruled["version"],
            ),
            history=History.of(self.registry.history()),
            reader=None if record.tracking_run is None else RunReader(self.tracking_uri),
            stated=self.stated,
            links=self.links,
        )
        if ruled["version"] is not None:
            self.registry.attach(record.digest, folder / CARD)
        return {"card": CARD}
