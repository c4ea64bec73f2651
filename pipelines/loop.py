"""The whole loop on real data: a first champion, a week with drift, a biased feed; nothing is opened, all is told.

    python -m pipelines.loop

The data are the 1,797 handwritten digits that scikit-learn carries. Each week delivers all of them anew, as three
scanners would: the first as they are; from the second week on a scanner gives negatives; in the third it loses the
middle lines of every thick stroke. A row keeps its split, so no model is ever judged on an image that it learned from.
Everything it writes is in ./loop, whatever MLFLOW_TRACKING_URI names. Exit codes: 0 each week ended as told
here; 1 one did not, or it broke; 143 SIGTERM ended it.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipelines.data.scans import PIXELS
from pipelines.retrain import parse, retrain
from pipelines.told import ends_when_told
from safeguards import SafeguardError
from safeguards.retraining import deliver
from safeguards.tracking import safe_line

__all__ = ["WEEKS", "Week", "main"]

FOLDER = Path("loop")
CONFIG = Path(__file__).parents[1] / "conf" / "retrain.yaml"
REVIEW = "http://127.0.0.1:5080"
DARKEST = 16.0
LOST_LINES = slice(2, 6)
Images = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Week:
    """A delivery: what it is, how it ends, and what a reader should see in that."""

    name: str
    told: str
    ends: str

    def images(self, clean: Images, thick: Flags) -> Images:
        """What this week's scanner makes of the digits (N, 8, 8) in [0, 1]."""
        if self.name == "first":
            return clean
        negative: Images = 1 - clean
        if self.name == "biased":
            negative[thick, LOST_LINES] = 1.0
        return negative


WEEKS = (
    Week(name="first", told="the digits as they are: there is no champion yet", ends="promoted"),
    Week(name="drifted", told="a new scanner gives negatives: the champion reads none of them", ends="promoted"),
    Week(name="biased", told="the scanner loses the middle lines of thick strokes", ends="kept"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The three weeks, in order."""
    _hush()
    torch.set_num_threads(1)  # over 8 x 8 pixels a second thread waits: on a busy machine 25 times the work
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{FOLDER / 'mlflow.db'}"  # a real registry is no place for a show
    began = time.monotonic()
    ended = {week: _retrained(week) for week in WEEKS}
    surprises = [week for week in WEEKS if ended[week]["ended"] != week.ends]
    print(f"\n{_where(ended)}\n{time.monotonic() - began:.0f} seconds")
    return 1 if surprises else 0


def _retrained(week: Week) -> Mapping[str, Any]:
    print(f"\n{week.name} week: {week.told}", flush=True)
    folder = FOLDER / "deliveries" / week.name
    folder.mkdir(parents=True)
    _scans(week).to_parquet(folder / "scans.parquet")
    deliver(folder)
    options = {"delivery": folder, "directory": FOLDER / "retraining", "review": REVIEW}
    settings, told = parse([f"--config={CONFIG}", *(f"--{name}={value}" for name, value in options.items())])
    return retrain(settings, told)


def _scans(week: Week) -> pd.DataFrame:
    from sklearn.datasets import load_digits

    source = load_digits()
    clean = source.images / DARKEST
    ink = clean.mean(axis=(1, 2))
    thick = ink >= np.median(ink)
    pixels = pd.DataFrame(week.images(clean, thick).reshape(len(clean), -1), columns=PIXELS)
    return pixels.assign(row=range(len(clean)), digit=source.target, stroke=np.where(thick, "thick", "thin"))


def _where(ended: Mapping[Week, Mapping[str, Any]]) -> str:
    store = os.environ["MLFLOW_TRACKING_URI"]
    lines = (
        *(f"card of the {week.name} week: {found['card']}" for week, found in ended.items() if "card" in found),
        f"jobs, step by step: {FOLDER / 'retraining'}",
        f"review page: safeguards review --tracking-uri {store}, then {REVIEW}",
        f"MLflow: python -m mlflow ui --backend-store-uri {store}",
    )
    return "\n".join(lines)


def _hush() -> None:
    """Libraries keep their news to themselves; what safeguards warn of is still heard."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.disable(logging.INFO)
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module=r"safeguards\.")


if __name__ == "__main__":
    try:
        sys.exit(ends_when_told(main))
    except SafeguardError as error:
        sys.exit(f"error: {safe_line(error)}")
