"""One retraining, step by step. Each step works in a folder of its own and answers with plain values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from safeguards.card import write_card
from safeguards.core.batch import BatchFields
from safeguards.core.errors import SafeguardError
from safeguards.gate import (
    Candidate,
    Comparison,
    History,
    Record,
    Ruling,
    Verifier,
    attach_card,
    champion,
    load_model,
    promote,
    seal,
)
from safeguards.retraining.comparing import FROZEN, compared
from safeguards.retraining.deciding import decision, refuse_broken
from safeguards.retraining.keeping import MODEL, Kept
from safeguards.retraining.shelf import DELIVERY, Shelf
from safeguards.retraining.testrows import asked_of, paths_of, refuse_incomparable
from safeguards.retraining.training import trained
from safeguards.retraining.warm import SearchFor, searched
from safeguards.search import place
from safeguards.tracking import RunReader

if TYPE_CHECKING:
    from safeguards.card import Stated
    from safeguards.core.verdict import Measurement
    from safeguards.gate import Policy
    from safeguards.retraining.asking import Answers, Attack
    from safeguards.retraining.intake import Delivery
    from safeguards.retraining.job import Job
    from safeguards.retraining.looking import Look
    from safeguards.retraining.trigger import Audit
    from safeguards.tracking import ModelRegistry

__all__ = ["Round"]

COLUMNS, COMPARISONS, RECORD, CARD = "columns.yaml", "comparisons.yaml", "record.json", "card.html"
STUDY, STUDIES = "search.study", "searches.db"
TRACKER = "tracking: "
Plain = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one retraining is given. Its methods are the steps of ``job``, in their order, under their names.

    ``training`` is the configuration of the run, ``files`` and ``frozen`` say under which of its keys a file of the
    delivery goes: to be trained on, and to be asked about its test rows when another delivery is trained on.
    ``command`` is what python is told to train with a further ``--config=FILE``; ``read`` parses such files, and raises
    what it will for one that is wrong.
    """

    job: Job
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
    command: Sequence[str]
    read: Callable[[Sequence[Path]], object]

    def meet(self, folder: Path) -> Plain:
        """Fetch the champion of this moment; the whole round is about it and no other."""
        found = champion(self.registry, folder)
        return {"champion": None if found is None else found.record.digest}

    def look(self, folder: Path, *, forced: bool, when: str, opened: Audit | None = None) -> Plain:
        """Hold schema and columns against the data that the champion learned from, and decide.

        ``when`` is "new data", "drift" or "audit"; a live audit that ``opened`` a retraining speaks of one champion.
        Raises `DataRefused` before anything is trained, where a retraining is called for and test rows lack labels or
        share a row id.
        """
        reigning = self.reigning
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
        if made.retrain:
            refuse_incomparable(self.configured({}), BatchFields(**self.fields))
        return {
            "retrain": made.retrain,
            "reason": made.reason,
            "drift": None if made.drift is None else str(made.drift),
        }

    def search(self, folder: Path, asked: SearchFor) -> Plain:
        """Look for better values before training, the champion's own first; the study lies beside the jobs."""
        reigning = self.reigning
        told = {"search": asdict(asked), "training": self.training, "delivery": self.delivery.manifest.fingerprint}
        return searched(
            asked,
            self.configured({}),
            folder.resolve(),
            storage=f"sqlite:///{self.shelf.folder.resolve() / STUDIES}",
            name=f"retraining-{sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]}",
            command=self.command,
            read=self.read,
            champion=None if reigning is None else self.shelf.training(reigning.record.config),
            earlier=None if reigning is None else reigning.record.notes.get(STUDY),
        )

    def train(self, folder: Path, found: Plain) -> Plain:
        """Train a challenger with what a search ``found``, in processes of its own; it is left in ``folder``."""
        return trained(
            self.configured(found),
            folder,
            command=self.command,
            objective=self.objective,
            fields=self.fields,
            seconds=self.seconds,
        )

    def compare(self, folder: Path, found: Plain) -> Plain:
        """Ask both about the test rows of this delivery, each through data as it learned them."""
        challenger = self._asked(self.job.place("train") / MODEL, self.configured(found))
        reigning = self.reigning
        if reigning is None:
            return {"frozen": challenger.rows, "comparisons": []}
        past = place(self.shelf.training(reigning.record.config), paths_of(self.frozen, self.delivery))
        told = [one.to_dict() for one in compared(self._asked(reigning.stored, past), challenger)]
        (folder / COMPARISONS).write_text(yaml.safe_dump(told, sort_keys=False))
        return {"frozen": challenger.rows, "comparisons": told}

    def seal(self, folder: Path, answers: Plain, found: Plain) -> Plain:
        """Put model and record together as the gate wants them."""
        kept, reigning = Kept.read(self.job.place("train")), self.reigning
        shutil.copytree(kept.stored.folder, folder / MODEL)
        self.shelf.remember(self.configured(found))
        record = seal(
            kept.run,
            kept.stored,
            model=self.registry.name,
            config=self.configured(found),
            code=[Path(name) for name in self.code],
            lock=self.lock,
            data={DELIVERY: self.delivery.manifest.fingerprint, FROZEN: answers["frozen"]},
            seeds=self._seeds,
            tracking_run=kept.tracking_run,
            champion=None if reigning is None else reigning.record,
            comparisons=[Comparison.from_dict(one) for one in answers["comparisons"]],
            previous=self.registry.newest_record(),
            notes={STUDY: found["study"]} if "study" in found else None,
        )
        record.write(folder / RECORD)
        return {"record": record.digest}

    def rule(self, why: str) -> Plain:
        """Let the gate decide; what it did already it does not do twice. Raises `SafeguardError` where it must wait."""
        run = Kept.read(self.job.place("train")).run
        ruling = promote(self.job.place("seal"), policy=self.policy, registry=self.registry, why=why, run=run)
        if ruling.reasons and all(one.startswith(TRACKER) for one in ruling.reasons):
            raise SafeguardError(f"the gate waits: {'; '.join(ruling.reasons)}; then call this again")
        return {
            "admitted": ruling.admitted,
            "reasons": list(ruling.reasons),
            "waived": list(ruling.waived),
            "version": ruling.version,
        }

    def card(self, folder: Path, ruled: Plain) -> Plain:
        """Write the model card of the challenger, promoted or not, with the ruling on it.

        Raises `RegistryError` where the history was changed, or is another model's: a card does not repeat that.
        """
        record = Record.read(self.job.place("seal") / RECORD)
        write_card(
            folder / CARD,
            record,
            champion=None if self.reigning is None else self.reigning.record,
            ruling=Ruling(
                admitted=ruled["admitted"],
                reasons=tuple(ruled["reasons"]),
                waived=tuple(ruled["waived"]),
                version=ruled["version"],
            ),
            history=History.sound(self.registry),
            signed=Verifier.configured() is not None,
            reader=None if record.tracking_run is None else RunReader(self.tracking_uri),
            stated=self.stated,
            links=self.links,
        )
        if ruled["version"] is not None:
            attach_card(self.registry, record.digest, folder / CARD)
        return {"card": CARD}

    def answer(self, opened: Audit) -> Plain:
        """The retraining that a live audit opened has run, whatever became of its challenger."""
        self.shelf.audits.answer(opened, data=self.delivery.manifest.fingerprint)
        return {}

    @cached_property
    def reigning(self) -> Candidate | None:
        """The champion that `meet` has fetched, every file of it checked; None where there was none."""
        met = self.job.place("meet")
        return Candidate.read(met) if (met / RECORD).is_file() else None

    def configured(self, found: Plain) -> Plain:
        """The training run on this delivery, with the values that a search ``found``, if there was one."""
        return place(place(self.training, paths_of(self.files, self.delivery)), found.get("parameters", {}))

    def _drift(self, folder: Path, reigning: Candidate, *, forced: bool) -> Measurement:
        columns, found = self.look_for.compare(self.shelf.learned_from(reigning.record.data), self.delivery)
        told = {name: one.plain() for name, one in columns.items()}
        (folder / COLUMNS).write_text(yaml.safe_dump(told, sort_keys=False))
        if not forced:
            refuse_broken(columns)
        return found

    def _asked(self, stored: Any, training: Plain) -> Answers:
        module = load_model(stored, allowed=self.policy.classes)
        return asked_of(module, training, BatchFields(**self.fields), self.attack)

    @property
    def _seeds(self) -> dict[str, int]:
        attack = None if self.attack is None else self.attack.seed
        seeds = {"training": self.training.get("seed_everything"), "attack": attack}
        return {name: seed for name, seed in seeds.items() if isinstance(seed, int) and not isinstance(seed, bool)}
