"""Pipelines by Airflow: put this file into the folder of DAGs, PROJECT adapted. Exit codes are in docs/retraining.md.

Codes 3 and 4 of a retraining are answers, no failures: its task is skipped. A live audit that opens nothing is skipped
too, and so is the retraining after it. What no retry changes fails at once.
"""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

PROJECT = "/srv/scans"
SKIPPED = {"retrain": (3, 4), "audit": (0, 4)}
FINAL = (2, 6)
OPENED = 7
AGAIN = {"retries": 3, "retry_delay": timedelta(minutes=10)}


def run(pipeline: str) -> None:
    """One pipeline as one command, ended with its task."""
    words = [".venv/bin/python", "-m", f"pipelines.{pipeline}", "--config", f"conf/{pipeline}.yaml"]
    code = subprocess.run(words, cwd=PROJECT, check=False).returncode
    said = f"{pipeline} ended with {code}"
    if code in SKIPPED[pipeline]:
        raise AirflowSkipException(said)
    if code in FINAL:
        raise AirflowFailException(said)
    if code not in (0, OPENED):
        raise RuntimeError(said)


def task(pipeline: str) -> PythonOperator:
    return PythonOperator(task_id=pipeline, python_callable=run, op_args=[pipeline])


def dag(name: str, cron: str) -> DAG:
    """Never two runs at once; what was missed is not run once for each time."""
    return DAG(
        name, schedule=cron, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, default_args=AGAIN
    )


with dag("retrain", "0 3 * * 1"):
    task("retrain")

with dag("live_audit", "0 5 * * *"):
    task("audit") >> task("retrain")
