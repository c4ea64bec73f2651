"""Pipelines by Airflow: put this file into the folder of DAGs, PROJECT adapted. Exit codes are in docs/retraining.md.

Codes 3 and 4 of a retraining are answers, no failures: its task is skipped. A live audit that opens nothing is skipped
too, and so is the retraining after it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

PROJECT = "/srv/scans"
ANSWERS = (3, 4)
OPENED = 7
NOTHING_OPENED = 99  # BashOperator's own code for a task that is skipped
AGAIN = {"retries": 3, "retry_delay": timedelta(minutes=10)}


def command(pipeline: str, after: str = "exit $code") -> str:
    """One pipeline as one command of a shell."""
    return f"cd {PROJECT} && .venv/bin/python -m pipelines.{pipeline} --config conf/{pipeline}.yaml; code=$?; {after}"


def dag(name: str, cron: str) -> DAG:
    """Never two runs at once; what was missed is not run once for each time."""
    return DAG(
        name, schedule=cron, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, default_args=AGAIN
    )


with dag("retrain", "0 3 * * 1"):
    BashOperator(task_id="retrain", bash_command=command("retrain"), skip_on_exit_code=ANSWERS)

with dag("live_audit", "0 5 * * *"):
    answer = f"[ $code -eq {OPENED} ] && exit 0; [ $code -eq 0 ] && exit {NOTHING_OPENED}; exit $code"
    audited = BashOperator(task_id="audit", bash_command=command("audit", answer), skip_on_exit_code=NOTHING_OPENED)
    audited >> BashOperator(task_id="retrain", bash_command=command("retrain"), skip_on_exit_code=ANSWERS)
