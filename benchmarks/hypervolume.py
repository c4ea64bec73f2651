"""What a search under limits finds, against plain Optuna whose trials are filtered afterwards.

Trials that are done lie in a journal in the system's folder for temporary files: called again, it goes on. Where the
Adult census is not at hand (see ADULT), rows are drawn.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import seed_everything
from scipy import stats
from torch.utils.data import DataLoader

from benchmarks.fitting import quiet_trainer
from benchmarks.timing import Result
from pipelines.data import AdultCensus
from pipelines.data.rows import Rows
from pipelines.models import TabularNet
from safeguards import AdversarialEvaluation, BatchFields, FairnessCheck, Limit, ThreatModel
from safeguards.search import Ending, Search, Space, Task, TrialReporter

ADULT = Path(__file__).parents[2] / "shared" / "data" / "adult.csv.gz"
JOURNAL = Path(tempfile.gettempdir(), "safeguards-hypervolume.log")
SEEDS, TRIALS, TRAINING = (100, 101, 102, 103, 104), 30, 4_000  # not those by which a sampler was chosen
PARITY, ROBUST = "fairness/demographic_parity_difference", "adversarial/robust_accuracy"
AT_MOST, AT_LEAST = 0.2, 0.5


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Two objectives to maximize, the limits to keep, and the point above which a model is of use."""

    name: str
    objectives: tuple[str, str]
    limits: tuple[str, ...]
    reference: tuple[float, float]


# In the first, accuracy under attack leads a search towards the limit by itself; in the second nothing does. Of no use
# is a model no better than the larger class alone, by group in the second, or one that attacks mostly break.
PROBLEMS = (
    Problem(
        name="accuracy, and under attack; parity",
        objectives=("val_accuracy", "safeguard/adversarial/robust_accuracy"),
        limits=(PARITY,),
        reference=(0.75, 0.4),
    ),
    Problem(
        name="accuracy, and of the worst group; parity, robustness",
        objectives=("val_accuracy", "safeguard/fairness/worst_group_accuracy"),
        limits=(PARITY, ROBUST),
        reference=(0.75, 0.69),
    ),
)
WAYS = {"safeguards.search, gp": (True, "gp"), "Optuna's TPE, filtered afterwards": (False, "tpe")}
OURS, THEIRS = WAYS
FIELDS = BatchFields(inputs="inputs", target="target", row_id="row_id", groups={"sex": "sex"})
SPACE = Space.read(
    {
        "learning_rate": {"type": "float", "low": 3e-4, "high": 3e-2, "log": True},
        "width": {"type": "int", "low": 8, "high": 128, "log": True},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "batch_size": {"type": "categorical", "choices": [64, 128, 256]},
        "epochs": {"type": "int", "low": 1, "high": 6},
    }
)


def measure() -> Result:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    began = time.monotonic()
    found = {(problem, way): _each(problem, way) for problem in PROBLEMS for way in WAYS}
    minutes = (time.monotonic() - began) / 60
    return Result(
        title=f"Feasible hypervolume after {TRIALS} trials",
        target="better than plain Optuna that filters afterwards",
        headings=("objectives; limits", "", "mean", "spread over seeds", "each seed", "feasible trials"),
        rows=[_row(problem, way, each) for (problem, way), each in found.items()],
        notes=[
            f"{_source()}: {TRAINING:,} rows trained on, {len(_rows()[1]):,} validated, one process and thread; "
            f"{len(SEEDS)} seeds of the sampler; both draw the first ten trials alike. Limits: demographic parity "
            f"difference at most {AT_MOST}, accuracy under PGD (eps 0.05, 512 rows) at least {AT_LEAST}, by their "
            f"intervals. Reference points {' and '.join(str(problem.reference) for problem in PROBLEMS)}. Both judge "
            "with the same safeguards and are filtered by the same rule; the second sampler is not told what they say.",
            f"{len(found) * len(SEEDS) * TRIALS} trials. This call took {minutes:.0f} minutes; trials that an earlier "
            f"one had finished are read from {JOURNAL.name}.",
            f"Volumes in thousandths. {' '.join(_compared(problem, found) for problem in PROBLEMS)}",
        ],
    )


def _each(problem: Problem, way: str) -> list[tuple[float, int]]:
    constrained, sampler = WAYS[way]
    return [_searched(problem, seed, constrained=constrained, sampler=sampler) for seed in SEEDS]


def _row(problem: Problem, way: str, each: list[tuple[float, int]]) -> tuple[str, ...]:
    volumes = [volume for volume, _ in each]
    return (
        problem.name,
        way,
        f"{1e3 * statistics.mean(volumes):.2f}",
        f"{1e3 * statistics.stdev(volumes):.2f}" if len(volumes) > 1 else "",
        ", ".join(f"{1e3 * volume:.2f}" for volume in volumes),
        ", ".join(str(feasible) for _, feasible in each),
    )


def _compared(problem: Problem, found: Mapping[tuple[Problem, str], list[tuple[float, int]]]) -> str:
    """The seeds in pairs, and the mean of their differences with its 95 % interval (Student's t)."""
    ours, theirs = ([1e3 * volume for volume, _ in found[problem, way]] for way in (OURS, THEIRS))
    more = np.subtract(ours, theirs)
    half = stats.t.ppf(0.975, len(more) - 1) * stats.sem(more) if len(more) > 1 else math.nan
    return (
        f"{problem.name}: the first less the second, seed by seed, {', '.join(f'{one:+.2f}' for one in more)}; "
        f"{more.mean():+.2f} [{more.mean() - half:+.2f}, {more.mean() + half:+.2f}] on average, larger in "
        f"{(more > 0).sum()} of {len(more)}."
    )


def _searched(problem: Problem, seed: int, *, constrained: bool, sampler: str) -> tuple[float, int]:
    """With no constraint asked for, `Search` tells the sampler of none."""
    search = Search(
        space=SPACE,
        objectives=dict.fromkeys(problem.objectives, "maximize"),
        constraints=problem.limits if constrained else (),
        storage=f"journal:{JOURNAL}",
        name=f"{problem.name}, {_source()}, {TRAINING} rows, {AT_MOST}, {AT_LEAST}, {constrained}, {sampler}, {seed}",
        sampler=sampler,
        seed=seed,
    )
    search.run(lambda task: train(task, problem), trials=TRIALS)
    told = [trial for trial in search.study.get_trials(deepcopy=False) if trial.values]
    feasible = [trial.values for trial in told if _keeps(problem, trial.user_attrs["verdicts"])]
    return hypervolume(feasible, problem.reference), len(feasible)


def _keeps(problem: Problem, verdicts: list[Mapping[str, Any]]) -> bool:
    outcomes = {f"{one['safeguard']}/{one['measure']}": one["outcome"] for one in verdicts}
    return all(outcomes[name] in ("PASS", "WARN") for name in problem.limits)


def hypervolume(values: list[list[float]], reference: tuple[float, float]) -> float:
    """The area above the reference that points to maximize dominate."""
    area, floor = 0.0, reference[1]
    for first, second in sorted(values, reverse=True):
        if first > reference[0] and second > floor:
            area += (first - reference[0]) * (second - floor)
            floor = second
    return area


class Told:
    """The line of a trial that is trained in the process of its search."""

    ending: Ending

    def report(self, step: int, value: float) -> bool:
        return False

    def end(self, ending: Ending) -> None:
        self.ending = ending


def train(task: Task, problem: Problem) -> Ending:
    given: dict[str, Any] = dict(task.parameters)
    training, validation = _rows()
    line = Told()
    seed_everything(0, verbose=False)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        reporter = TrialReporter(objectives=problem.objectives, constraints=problem.limits, line=line)
        trainer = quiet_trainer(
            folder,
            [_fairness(problem), _attack(), reporter],
            max_epochs=given["epochs"],
            check_val_every_n_epoch=given["epochs"],
        )
        model = TabularNet(
            features=training.inputs.shape[1],
            width=given["width"],
            dropout=given["dropout"],
            learning_rate=given["learning_rate"],
        )
        loaders = DataLoader(training, batch_size=given["batch_size"], shuffle=True), DataLoader(validation, 2048)
        trainer.fit(model, *loaders)
    return line.ending


def _fairness(problem: Problem) -> FairnessCheck:
    """A measure that has no limit is not judged: what is an objective alone gets one that any model keeps."""
    limits = {"demographic_parity_difference": Limit(at_most=AT_MOST)}
    if "safeguard/fairness/worst_group_accuracy" in problem.objectives:
        limits["worst_group_accuracy"] = Limit(at_least=0.0)
    return FairnessCheck(fields=FIELDS, limits=limits)


def _attack() -> AdversarialEvaluation:
    return AdversarialEvaluation(
        fields=FIELDS, threat=ThreatModel(eps=0.05), eps_curve=[], limits={"robust_accuracy": Limit(at_least=AT_LEAST)}
    )


def _source() -> str:
    return "Adult census" if ADULT.is_file() else "drawn rows"


@cache
def _rows() -> tuple[Rows, Rows]:
    read: Callable[[], tuple[Rows, Rows]] = _adult if ADULT.is_file() else _drawn
    return read()


def _adult() -> tuple[Rows, Rows]:
    data = AdultCensus(path=str(ADULT))
    training = data.rows("train")
    chosen = torch.randperm(len(training), generator=torch.Generator().manual_seed(0))[:TRAINING]
    part = Rows(
        inputs=training.inputs[chosen],
        target=training.target[chosen],
        row_id=training.row_id[chosen],
        groups={name: [labels[i] for i in chosen.tolist()] for name, labels in training.groups.items()},
    )
    return part, data.rows("validation")


def _drawn() -> tuple[Rows, Rows]:
    """A quarter of the rows is positive, fewer among women."""
    draw = np.random.default_rng(0)

    def rows(n: int, first: int) -> Rows:
        sex = draw.integers(2, size=n)
        inputs = draw.normal(size=(n, 40)).astype("float32")
        inputs[:, 0] += sex
        score = inputs[:, :8].sum(1) + draw.normal(size=n) * 2
        return Rows(
            inputs=torch.from_numpy(inputs),
            target=torch.from_numpy((score > 2.8).astype("int64")),
            row_id=torch.arange(first, first + n),
            groups={"sex": [("Female", "Male")[i] for i in sex]},
        )

    return rows(TRAINING, 0), rows(6_000, TRAINING)
