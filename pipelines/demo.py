"""A network trained in two processes under DeepSpeed ZeRO-2 with four safeguards, tracked in a local MLflow database.

    python -m pipelines.demo
    python -m pipelines.demo --data digits --quiet

Everything it writes is in ./demo. Exit codes: 0 the job ran, whatever the verdicts say (they are the answer, not an
error); 1 it broke; 2 the command line is wrong; 143 SIGTERM ended it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

import safeguards.deepspeed  # noqa: F401 - "deepspeed_cpu_stage_2" can be named
from pipelines.data import DiabetesStudy, Digits
from pipelines.data.rows import RowData
from pipelines.models import ImageNet8, TabularNet
from pipelines.processes import JobTrainer, is_first, leave_group
from pipelines.told import ends_when_told
from safeguards import (
    AdversarialEvaluation,
    BatchFields,
    DriftReport,
    FairnessCheck,
    Limit,
    Outcome,
    OverfittingGuard,
    Safeguard,
    SafeguardError,
    ThreatModel,
    Verdict,
    verdicts,
)
from safeguards.tracking import MLflowTracker, safe_line

FOLDER = Path("demo")
EPOCHS, LOOK_EVERY = 12, 4  # each look at the validation rows widens the intervals that hold over all looks


@dataclass(frozen=True, kw_only=True)
class Study:
    """What differs between the two: the rows, the network, who is compared, what an attacker may do."""

    data: RowData
    network: LightningModule
    groups: dict[str, str]
    threat: ThreatModel
    who: str


def main(arguments: Sequence[str] | None = None) -> int:
    """The steps of the job, in order; every process runs them."""
    asked = _parse(arguments)
    _hush()
    seed_everything(0, verbose=False)
    _say(asked, f"{asked.data}: two processes under DeepSpeed ZeRO-2 with four safeguards")
    FOLDER.mkdir(exist_ok=True)
    study = STUDIES[asked.data]()
    watching = guards(study)
    tracker = MLflowTracker(experiment_name=asked.data, tracking_uri=f"sqlite:///{FOLDER / 'mlflow.db'}")
    trainer = JobTrainer(
        accelerator="cpu",
        devices=2,
        strategy="deepspeed_cpu_stage_2",
        max_epochs=EPOCHS,
        check_val_every_n_epoch=LOOK_EVERY,
        callbacks=[*watching, Progress(quiet=asked.quiet)],
        logger=tracker,
        log_every_n_steps=5,
        default_root_dir=FOLDER,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(study.network, datamodule=study.data)
    if trainer.is_global_zero:
        print(conclusion(study, verdicts(trainer), tracker))
    leave_group()
    return 0


def diabetes() -> Study:
    """442 patients: does the disease progress by more than the median?"""
    data = DiabetesStudy()
    fixed = ("age", "sex=")
    mutable = [not name.startswith(fixed) for name in data.feature_names]
    return Study(
        data=data,
        network=TabularNet(features=data.features),
        groups={"sex": "sex", "age": "age_group"},
        threat=ThreatModel(eps=0.1, mutable=mutable),
        who="patients",
    )


def digits() -> Study:
    """1,797 images: which digit is it? The groups are properties of the image; nobody's attribute is in them."""
    return Study(
        data=Digits(),
        network=ImageNet8(),
        groups={"stroke": "stroke"},
        threat=ThreatModel(eps=1 / 16, clip=(0.0, 1.0)),  # one of 16 levels of grey
        who="images",
    )


STUDIES = {"diabetes": diabetes, "digits": digits}


def guards(study: Study) -> list[Safeguard]:
    """The four safeguards, with limits that a reader of this file can argue with."""
    fields = BatchFields(inputs="inputs", target="target", row_id="row_id", groups=study.groups)
    return [
        OverfittingGuard(fields=fields, limits={"generalization_gap": Limit(at_most=0.3)}),
        FairnessCheck(
            fields=fields,
            intersections=False,
            limits={"equalized_odds_difference": Limit(at_most=0.2), "worst_group_accuracy": Limit(at_least=0.6)},
        ),
        AdversarialEvaluation(
            fields=fields, attack="pgd", threat=study.threat, limits={"robust_accuracy": Limit(at_least=0.5)}
        ),
        DriftReport(fields=fields, reference="train", limits={"drifted_share": Limit(at_most=0.2)}),
    ]


class Progress(Callback):
    """One line per look, from rank 0."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.quiet or trainer.sanity_checking or not trainer.is_global_zero:
            return
        seen = {name: float(trainer.callback_metrics[name]) for name in ("val_loss", "val_accuracy")}
        told = ", ".join(f"{name} {value:.3f}" for name, value in seen.items())
        print(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {told}", flush=True)


def conclusion(study: Study, found: Sequence[Verdict], tracker: MLflowTracker) -> str:
    """What the rows could show, and where everything is."""
    newest = max(FOLDER.glob("safeguards/*"))
    pages = sorted(newest.glob("**/*.html"))
    store = f"sqlite:///{FOLDER / 'mlflow.db'}"
    lines = (
        what_rows_show(found, len(study.data.rows("validation")), study.who),
        f"drift report: {pages[-1] if pages else 'none was drawn'}",
        f"MLflow run:   {tracker.run_id}; to see it: python -m mlflow ui --backend-store-uri {store}",
    )
    return "\n".join(("", *filter(None, lines)))


def what_rows_show(found: Sequence[Verdict], rows: int, who: str) -> str:
    """What INCONCLUSIVE means for the last verdicts, and how many rows would decide; empty when all are decided."""
    last = {(verdict.safeguard, verdict.measure): verdict for verdict in found}
    undecided = [verdict for verdict in last.values() if verdict.outcome is Outcome.INCONCLUSIVE]
    if not undecided:
        return ""
    needed = sorted((verdict.rows_to_decide, verdict.measure) for verdict in undecided if verdict.rows_to_decide)
    told = f"INCONCLUSIVE is no pass; {rows} {who} do not tell whether a value is within its limit or beyond it."
    if not needed:
        return told
    (fewest, easiest), (most, hardest) = needed[0], needed[-1]
    how_many = f"about {fewest:,} for {easiest}" + (f", and {most:,} for {hardest}" if len(needed) > 1 else "")
    return f"{told} Were the values to stay, it would take {how_many}."


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", choices=sorted(STUDIES), default="diabetes", help="442 patients, or 1,797 images")
    parser.add_argument("--quiet", action="store_true", help="only the verdicts")
    return parser.parse_args(arguments)


def _say(asked: argparse.Namespace, text: str) -> None:
    if not asked.quiet and is_first():
        print(text, flush=True)


def _hush() -> None:
    """Libraries keep their news to themselves; what safeguards warn of, and errors of any process, are still heard."""
    logging.disable(logging.INFO)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module=r"safeguards\.")
    if not is_first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process


if __name__ == "__main__":
    try:
        sys.exit(ends_when_told(main))
    except SafeguardError as error:
        sys.exit(f"error: {safe_line(error)}")
