"""What a logging call costs the training thread: ours, which appends, against Lightning's, which writes to SQLite."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import Result

CALLS, METRICS, PAUSE = 1000, 10, 0.002
"""Calls, numbers in each, and seconds between two: the thread that sends works meanwhile."""


def measure() -> Result:
    """Milliseconds per call of ``log_metrics``, while what was logged is being sent."""
    from pytorch_lightning.loggers import MLFlowLogger

    from safeguards.tracking import MLflowTracker

    with tempfile.TemporaryDirectory() as folder:
        tracker = MLflowTracker(tracking_uri=f"sqlite:///{Path(folder, 'ours.db')}")
        ours = _times(tracker.log_metrics, CALLS)
        tracker.finalize()
        away = MLflowTracker(tracking_uri="http://127.0.0.1:9", spool=folder)
        down = _times(away.log_metrics, CALLS)
        theirs = MLFlowLogger("x", tracking_uri=f"sqlite:///{Path(folder, 'theirs.db')}", run_name="x")
        _ = theirs.run_id
        lightning = _times(theirs.log_metrics, CALLS // 10)
    rows = [("MLflowTracker", ours), ("MLflowTracker, server down", down), ("Lightning's MLFlowLogger", lightning)]
    return Result(
        title="Tracking",
        target="a logging call of the training thread takes less than 1 ms at the median",
        headings=("logger", "median ms", "p99 ms", "longest ms"),
        rows=[(name, *_told(times)) for name, times in rows],
        notes=[f"{METRICS} metrics a call; {CALLS} calls, {CALLS // 10} of Lightning's; SQLite on a local disk."],
    )


def _times(log: Callable[..., Any], calls: int) -> list[float]:
    taken = []
    for step in range(calls):
        metrics = {f"metric_{i}": float(step) for i in range(METRICS)}
        began = time.perf_counter()
        log(metrics, step=step)
        taken.append(1000 * (time.perf_counter() - began))
        time.sleep(PAUSE)
    return taken


def _told(times: list[float]) -> tuple[str, str, str]:
    middle, high = np.percentile(times, [50, 99])
    return f"{middle:.3f}", f"{high:.2f}", f"{max(times):.1f}"
