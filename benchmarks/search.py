"""A search with safeguards against the same launcher without: trials per hour, two processes under ZeRO-1."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from benchmarks.timing import Result, seconds
from pipelines.data.adult import SCHEMA
from pipelines.train import read
from safeguards.search import Ending, Search, Space, Task, Torchrun, declared_limits, place

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
ADULT = ROOT.parent / "shared" / "data" / "adult.csv.gz"
TRIALS, DRAWN_ROWS, CAP = 10, 32_561, 0.05
OBJECTIVES = {"val_accuracy": "maximize"}
WITH, WITHOUT = "with fairness and attacks", "without safeguards"


def measure() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        job = _job(Path(folder))
        arms = {name: _search(name, job, Path(folder)) for name in (WITHOUT, WITH)}
        took: dict[str, list[float]] = {name: [] for name in arms}
        for number in range(1, TRIALS + 1):
            for name in list(arms) if number % 2 else list(reversed(arms)):
                search, train = arms[name]
                took[name].append(
                    seconds(lambda search=search, train=train, most=number: search.run(train, trials=most))
                )
        for search, _ in arms.values():
            assert len(search.result().candidates) == TRIALS, search.result().text()
    hourly = {name: 3600 * TRIALS / sum(took[name]) for name in arms}
    ratios = [without / with_ for without, with_ in zip(took[WITHOUT], took[WITH], strict=True)]
    return Result(
        title=f"Trials per hour, a search of {TRIALS} on two processes under ZeRO-1",
        target="with safeguards at least 0.9 of it without, attacks capped",
        headings=("", "seconds per trial", "trials per hour", "against without"),
        rows=[
            (name, f"{sum(took[name]) / TRIALS:.1f}", f"{hourly[name]:.0f}", f"{hourly[name] / hourly[WITHOUT]:.3f}")
            for name in arms
        ],
        notes=[
            f"{'The Adult census' if ADULT.is_file() else 'Rows drawn in the form of the Adult census'}, "
            "conf/train_adult.yaml under conf/deepspeed/zero1.yaml, without MLflow; the attack takes at most "
            f"{CAP:.0%} of the fit. Both searches train the same parameters, in turns; a trial is a start of torchrun "
            "and everything after it.",
            f"Each pair of trials, seconds without over seconds with: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; "
            f"{_spread(ratios)}. The search took {sum(map(sum, took.values())) / 60:.1f} minutes.",
            "Best of each: " + "; ".join(f"{name} {_best(search)}" for name, (search, _) in arms.items()) + ".",
        ],
    )


def _spread(ratios: list[float]) -> str:
    """The pairs' geometric mean with its 95 % interval (Student's t of the logarithms)."""
    logs = np.log(ratios)
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs) if len(logs) > 1 else math.nan
    low, mean, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return f"geometric mean {mean:.3f} [{low:.3f}, {high:.3f}]"


def _best(search: Search) -> str:
    best = search.result().best
    return f"{best[0].values[0]:.4f}" if best else "none feasible"


def _job(folder: Path) -> dict[str, Any]:
    """The training run of the Adult census, as its configuration has it."""
    data = ADULT if ADULT.is_file() else _drawn(folder / "adult.csv")
    own = {"data": {"init_args": {"path": str(data)}}, "trainer": {"logger": False, "default_root_dir": str(folder)}}
    (folder / "own.yaml").write_text(yaml.safe_dump(own))
    job = dict(read([CONF / "train_adult.yaml", CONF / "deepspeed/zero1.yaml", folder / "own.yaml"]))
    job["trainer"] = {**job["trainer"], "enable_progress_bar": False, "enable_model_summary": False}
    return job


def _search(name: str, job: Mapping[str, Any], folder: Path) -> tuple[Search, Any]:
    guards = [_capped(one) for one in job["trainer"]["callbacks"]] if name == WITH else []
    limits = declared_limits(guards)
    reporter = {"objectives": list(OBJECTIVES), "constraints": limits}
    callbacks = [*guards, {"class_path": "safeguards.search.TrialReporter", "init_args": reporter}]
    whole = {**job, "trainer": {**job["trainer"], "callbacks": callbacks}}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    torchrun = Torchrun(
        command=("-m", "pipelines.train", "fit"),
        processes=2,
        seconds=600,
        environment={**os.environ, "PYTHONPATH": path},
    )

    def train(task: Task) -> Ending:
        place_of = folder / f"{len(limits)}-{task.number}"
        place_of.mkdir()
        (place_of / "config.yaml").write_text(yaml.safe_dump(place(whole, task.parameters)))
        return torchrun.run([f"--config={place_of / 'config.yaml'}"], place_of, task.prune)

    space = Space.read(yaml.safe_load((CONF / "search_adult.yaml").read_text())["space"])
    return Search(space=space, objectives=OBJECTIVES, constraints=limits, sampler="random"), train


def _capped(callback: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(callback["init_args"])
    if callback["class_path"].endswith("AdversarialEvaluation"):
        options["max_share_of_fit"] = CAP
    return {**callback, "init_args": options}


def _drawn(file: Path) -> Path:
    draw = np.random.default_rng(0)
    names = {name: draw.choice(["a", "b", "c"], DRAWN_ROWS) for name, kind in SCHEMA.items() if kind == "category"}
    numbers = {name: draw.normal(size=DRAWN_ROWS) for name, kind in SCHEMA.items() if kind == "number"}
    own = {"income": ["<=50K", ">50K"], "sex": ["Female", "Male"]}
    table = {**names, **numbers, **{name: draw.choice(values, DRAWN_ROWS) for name, values in own.items()}}
    pd.DataFrame({**table, "split": "train"}).to_csv(file, index=False)
    return file
