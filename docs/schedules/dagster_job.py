"""Pipelines by Dagster: `dagster dev -f docs/schedules/dagster_job.py`, PROJECT adapted. Codes: docs/retraining.md.

A retraining that keeps the champion, or has nothing to do, is a success. What no retry changes is not tried again.
"""

import subprocess

from dagster import Definitions, Failure, OpExecutionContext, RetryPolicy, ScheduleDefinition, job, op

PROJECT = "/srv/scans"
ANSWERS = (0, 3, 4, 7)
FINAL = (2, 6)
OPENED = 7
AGAIN = RetryPolicy(max_retries=3, delay=600)


def run(context: OpExecutionContext, pipeline: str) -> int:
    """The exit code of one pipeline, one that is an answer."""
    words = [".venv/bin/python", "-m", f"pipelines.{pipeline}", "--config", f"conf/{pipeline}.yaml"]
    code = subprocess.run(words, cwd=PROJECT, check=False).returncode
    context.log.info(f"{pipeline} ended with {code}")
    if code not in ANSWERS:
        raise Failure(f"{pipeline} ended with {code}", allow_retries=code not in FINAL)
    return code


@op(retry_policy=AGAIN)
def retrain_op(context: OpExecutionContext) -> None:
    run(context, "retrain")


@op(retry_policy=AGAIN)
def audit_op(context: OpExecutionContext) -> None:
    if run(context, "audit") == OPENED:
        run(context, "retrain")


@job
def retrain() -> None:
    retrain_op()


@job
def live_audit() -> None:
    audit_op()


defs = Definitions(
    jobs=[retrain, live_audit],
    schedules=[
        ScheduleDefinition(job=retrain, cron_schedule="0 3 * * 1"),
        ScheduleDefinition(job=live_audit, cron_schedule="0 5 * * *"),
    ],
)
