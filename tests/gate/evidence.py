"""Records, verdicts and runs to rule on."""

import json
from datetime import UTC, datetime, timedelta

import torch

from safeguards.core.ledger import Ledger
from safeguards.core.limit import Limit, decide
from safeguards.core.verdict import Cost, Measurement, Moment, Outcome, Verdict
from safeguards.gate import Policy, Record, seal, store_model
from tests.gate.nets import CLASSES, ROWS, Net

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
REQUIRED = ("fairness/demographic_parity_difference", "adversarial/robust_accuracy")


def verdict(name=REQUIRED[0], value=0.05, *, limit=None, outcome=None, stage="validate", loader=None, step=10, n=500):
    """A verdict as the core would reach it, or with an outcome of its own."""
    safeguard, measure = name.split("/")
    limit = limit or (Limit(at_least=0.5) if measure == "robust_accuracy" else Limit(at_most=0.1))
    found = Measurement(value=value, n=n, interval=(value - 0.01, value + 0.01))
    decision = decide(found, limit)
    return Verdict(
        safeguard=safeguard,
        measure=measure,
        outcome=outcome or decision.outcome,
        reason=decision.reason,
        moment=Moment(stage=stage, epoch=1, step=step, loader=loader),
        value=None if outcome in (Outcome.ERROR, Outcome.NOT_EVALUATED) else value,
        limit=limit,
        margin=decision.margin,
        interval=found.interval,
        n=n,
        cost=Cost(seconds=0.25, share_of_fit=0.01),
    )


GOOD = (verdict(), verdict(REQUIRED[1], 0.7))


def record(**changes):
    """A record that lets its model through; every part can be changed."""
    parts = {
        "model": "risk",
        "run_id": "20261125-110000-00000000",
        "tracking_run": "0" * 32,
        "made": (NOW - timedelta(hours=1)).isoformat(),
        "judged": (NOW - timedelta(hours=2)).isoformat(),
        **dict.fromkeys(("weights", "stored", "config", "code", "lock", "ledger"), A),
        "data": {"train": B, "holdout": C},
        "seeds": {"torch": 7},
        "verdicts": GOOD,
        "costs": {"fairness": 0.5},
        "notes": {"pt2": "equal on the example"},
    }
    return Record(**{**parts, **changes})


def policy(**changes):
    """Asks for two verdicts; every part can be changed."""
    return Policy.of({"required": list(REQUIRED), "classes": CLASSES, **changes})


def run_directory(place, verdicts=GOOD):
    """What a fit leaves: a ledger and its costs."""
    run = place / "safeguards" / "20261125-110000-00000000"
    Ledger(run / "verdicts.jsonl").append(list(verdicts))
    (run / "costs.json").write_text(json.dumps({"fairness": {"seconds": 0.5, "share_of_fit": 0.1}}))
    return run


def candidate(place, *, seed=0, signer=None, verdicts=GOOD, data="rows", pt2=False, **options):
    """A folder that can be promoted: a stored model and its sealed record."""
    torch.manual_seed(seed)
    folder = place / "candidate"
    stored = store_model(Net(), folder / "model", example=ROWS, pt2=pt2)
    for name, text in (("lock", "torch==2"), ("config", f"seed: {seed}"), ("rows", data), ("code.py", "pass")):
        (place / name).write_text(text)
    sealed = seal(
        run_directory(place, verdicts),
        stored,
        **{
            "model": "risk",
            "config": place / "config",
            "code": place / "code.py",
            "lock": place / "lock",
            "data": {"train": place / "rows", "holdout": C},
            "seeds": {"torch": seed},
            **options,
        },
    )
    sealed.write(folder / "record.json", signer=signer)
    return folder, sealed
