"""A model in production, a network that learned in a second, and deliveries to hold it against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch.nn import functional

from pipelines.data.scans import PIXELS, DigitScans
from pipelines.models import ImageNet8
from pipelines.train import read
from safeguards import Limit, Moment, Outcome, Verdict
from safeguards.core.ledger import Ledger
from safeguards.gate import Policy, promote, seal, store_model
from safeguards.gate.fresh import check_here
from safeguards.retraining import Shelf, deliver, paths_of
from safeguards.search import place as placed
from safeguards.tracking import ModelRegistry

CONF = Path(__file__).parents[2] / "conf"
ROWS = 3000
POLICY = {"required": ["fairness/worst_group_accuracy"], "tracked": False, "classes": ["pipelines.models.*"]}


def scans(folder: Path, seed: int, *, negative: bool = False, blurred: str = "", labelled: bool = True) -> Path:
    """Images of noise with a bright line that tells one of 8 classes; without the line for the ``blurred`` stroke."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    digit = draw.integers(8, size=ROWS)
    images = draw.uniform(0, 0.3, size=(ROWS, 8, 8))
    stroke = np.where(draw.integers(2, size=ROWS) == 1, "thin", "thick")
    seen = stroke != blurred
    images[np.arange(ROWS)[seen], digit[seen]] = 1.0
    frame = pd.DataFrame((1 - images if negative else images).reshape(ROWS, -1), columns=PIXELS)
    label = {"digit": digit} if labelled else {}
    frame.assign(row=range(seed * ROWS, (seed + 1) * ROWS), stroke=stroke, **label).to_parquet(folder / "scans.parquet")
    deliver(folder)
    return folder


def enthrone(folder: Path, delivery: Path) -> str:
    """A champion of the model ``scans`` that learned from this delivery, tried in this process; its digest."""
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    shelf = Shelf(root=folder / "shelf", model="scans")
    taken = shelf.take(delivery)
    config = placed(read([CONF / "scans" / "train.yaml"]), paths_of({"data.init_args.path": "scans.parquet"}, taken))
    shelf.remember(config)
    data = DigitScans(path=config["data"]["init_args"]["path"])
    torch.manual_seed(0)
    net, rows = ImageNet8(channels=4), data.rows("train")
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(net(rows.inputs), rows.target).backward()
        optimizer.step()
    stored = store_model(net, folder / "candidate" / "model", example=rows.inputs[:4], pt2=False)
    Ledger(folder / "run" / "verdicts.jsonl").append([passed()])
    record = seal(
        folder / "run",
        stored,
        model="scans",
        config=config,
        code=CONF.parent / "pipelines",
        lock=CONF.parent / "requirements.lock",
        data={"delivery": taken.manifest.fingerprint, "frozen": "0" * 64},
    )
    record.write(folder / "candidate" / "record.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safeguards.gate.promotion.check_in_a_fresh_process", at_once)
        ruled = promote(folder / "candidate", policy=Policy.of(POLICY), registry=ModelRegistry("scans"), why="first")
    assert ruled.admitted, ruled.reasons
    return record.digest


def at_once(folder: Path, *, digest: str, allowed: Sequence[str], seconds: float) -> str | None:
    """In place of a fresh process, which takes seconds to import torch and Lightning."""
    return check_here(folder, digest=digest, allowed=allowed)


def passed() -> Verdict:
    return Verdict(
        safeguard="fairness",
        measure="worst_group_accuracy",
        outcome=Outcome.PASS,
        reason="by hand",
        moment=Moment(stage="validate", epoch=0, step=1),
        value=0.9,
        limit=Limit(at_least=0.5),
        margin=0.4,
        n=100,
    )
