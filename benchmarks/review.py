"""How long a reviewer waits for the table of 2,000 runs: the first page, and every page once all runs were read.

One process, the pages as the server makes them, a database file on disk; 13 tags, 15 parameters and 20 metrics a run.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.timing import Result, seconds

RUNS, AGAIN = 2000, 5
LONGEST_WAIT_SECONDS = 2.0
MEASURES = ("gap", "ratio", "parity", "robust", "drift")
OUTCOMES = ("PASS", "WARN", "FAIL", "INCONCLUSIVE", "ERROR")


def measure() -> Result:
    """Seconds until the whole page is there."""
    from safeguards.card import review_app
    from safeguards.tracking import RunReader

    with tempfile.TemporaryDirectory() as folder:
        address, uri = _filled(Path(folder))
        first, whole, later = [], [], []
        for _ in range(AGAIN):
            app = review_app(RunReader(uri))
            pages, runs = app.test_client(), _list_of(app)
            first.append(seconds(lambda pages=pages: pages.get(address)))
            whole.append(first[-1] + seconds(lambda runs=runs: runs.settled(address.rpartition("/")[2])))
            query = f"{address}?outcome=FAIL&sort=margin:fairness.gap&down=0"
            later.append(seconds(lambda pages=pages, query=query: pages.get(query)))
    rows = [("the newest hundred runs", first), ("all runs read beside it", whole), ("filtered and sorted", later)]
    return Result(
        title=f"The review page over {RUNS:,} runs",
        target=f"first view under {LONGEST_WAIT_SECONDS:.0f} s",
        headings=("what is there", "median seconds", "longest of five"),
        rows=[(name, f"{statistics.median(took):.2f}", f"{max(took):.2f}") for name, took in rows],
        notes=["The server is up; starting it takes the seconds that MLflow takes to import and to open its store."],
    )


def _filled(folder: Path) -> tuple[str, str]:
    from mlflow.tracking import MlflowClient

    from tests.helpers.runs import many

    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(uri)
    found = [{name: OUTCOMES[(run + place) % 5] for place, name in enumerate(MEASURES)} for run in range(RUNS)]
    many(folder / "mlflow.db", "big", found)
    return f"/experiments/{client.get_experiment_by_name('big').experiment_id}", uri


def _list_of(app: Any) -> Any:
    return app.view_functions["review.runs"].__self__.list
