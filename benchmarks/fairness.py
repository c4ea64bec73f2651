"""Group fairness with intervals, against fairlearn's MetricFrame with its bootstrap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.timing import Result, in_turns, seconds
from safeguards import BatchFields, FairnessCheck, Limit, Measurement, Moment, Scene
from safeguards.core.ranks import Ranks
from safeguards.core.scene import Loader

ROWS, GROUPS, BATCH, ROUNDS = 1_000_000, 10, 8192, 3
REPLICATES, REPLICATES_OF_INTEREST = (1, 3), 100
MEASURES = ("equalized_odds_difference", "demographic_parity_difference", "worst_group_accuracy")


def measure() -> Result:
    ours = in_turns({"ours": lambda: seconds(lambda: judged(ROWS))}, times=ROUNDS)["ours"]
    one, three = (seconds(lambda replicates=count: fairlearn(ROWS, replicates)) for count in REPLICATES)
    each = (three - one) / (REPLICATES[1] - REPLICATES[0])
    theirs = one + each * (REPLICATES_OF_INTEREST - REPLICATES[0])
    sizes = [state_bytes(rows) for rows in (10_000, ROWS)]
    return Result(
        title=f"Fairness on {ROWS:,} rows x {GROUPS} groups with intervals",
        target="200x faster than MetricFrame with bootstrap, state independent of the number of rows",
        headings=("", "seconds", "ratio"),
        rows=[
            ("FairnessCheck, batches to verdict", f"{ours:.2f}", "1x"),
            (f"MetricFrame, {REPLICATES_OF_INTEREST} bootstraps", f"{theirs:.0f}", f"{theirs / ours:.0f}x"),
        ],
        notes=[
            f"MetricFrame was measured with {REPLICATES[0]} and {REPLICATES[1]} bootstraps ({one:.1f} and {three:.1f} "
            f"s) and scaled to {REPLICATES_OF_INTEREST}: {each:.1f} s each. Its metrics: selection rate, true and "
            "false positive rate, accuracy.",
            f"Median of {ROUNDS} for FairnessCheck, from logits, targets and groups (strings) in batches of {BATCH}.",
            f"State: {sizes[0]} bytes of counts at 10,000 rows, {sizes[1]} at {ROWS:,}.",
        ],
    )


def judged(rows: int) -> dict[str, Measurement]:
    check, scene = _check(), _scene()
    seen = check.prepare(scene)
    for batch in _batches(rows):
        check.observe(seen, batch, scene)
    return dict(check.examine(seen, scene))


def state_bytes(rows: int) -> int:
    """Bytes of the counts that are kept, summed over processes and judged."""
    check, scene = _check(), _scene()
    seen = check.prepare(scene)
    for batch in _batches(rows):
        check.observe(seen, batch, scene)
    return sum(tally.counts_for(list(tally.codes), seen.classes).nbytes for tally in seen.tallies)


def fairlearn(rows: int, replicates: int) -> object:
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score

    logits, target, labels = _draw(rows)
    frame = metrics.MetricFrame(
        metrics={
            "selection_rate": metrics.selection_rate,
            "true_positive_rate": metrics.true_positive_rate,
            "false_positive_rate": metrics.false_positive_rate,
            "accuracy": accuracy_score,
        },
        y_true=target.numpy(),
        y_pred=logits.argmax(1).numpy(),
        sensitive_features=labels,
        n_boot=replicates,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    return frame.difference_ci()


def _check() -> FairnessCheck:
    fields = BatchFields(inputs="inputs", target="target", groups={"group": "group"})
    return FairnessCheck(fields=fields, limits={name: _limit(name) for name in MEASURES})


def _limit(name: str) -> Limit:
    return Limit(at_least=0.6) if name == "worst_group_accuracy" else Limit(at_most=0.1)


def _scene() -> Any:
    nothing: Any = None
    return Scene(
        trainer=nothing, module=nothing, ranks=Ranks(), moment=Moment(stage="validate", epoch=0, step=0),
        loader=Loader(), look=1, directory=Path(),
        **{name: nothing for name in Scene.__dataclass_fields__ if name not in _KNOWN},
    )  # fmt: skip


_KNOWN = ("trainer", "module", "ranks", "moment", "loader", "look", "directory")


def _batches(rows: int) -> Iterator[Any]:
    logits, target, labels = _draw(rows)
    for start in range(0, rows, BATCH):
        part = slice(start, start + BATCH)
        yield SimpleNamespace(
            n=len(target[part]),
            target=target[part],
            groups={"group": labels[part].tolist()},
            logits=lambda part=part: logits[part],
        )


def _draw(rows: int) -> tuple[torch.Tensor, torch.Tensor, Any]:
    draw = np.random.default_rng(0)
    labels = np.array([f"group {i}" for i in range(GROUPS)])[draw.integers(GROUPS, size=rows)]
    target = torch.from_numpy(draw.integers(2, size=rows))
    logits = torch.from_numpy(draw.normal(size=(rows, 2))).float()
    return logits, target, labels
