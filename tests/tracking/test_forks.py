"""A thread is not forked: each process that goes on with a tracker has a sender of its own."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.launch import launch
from tests.tracking import jobs
from tests.tracking.looking import artifacts, runs, steps


def test_a_forked_job_goes_on_in_its_run_with_every_point_once(here: Path) -> None:
    value = launch(f"{jobs.__file__}:fork_in_mid_job", world=1, folder=str(here))[0].value
    [run] = runs(here)
    assert value == {"code": 0, "runs": [run.info.run_id] * 2}
    assert steps(here, run, "x") == [0, 1, 2]
    assert (run.info.status, run.data.tags["safeguards.tracking"]) == ("FINISHED", "complete")


def test_under_ddp_fork_rank_0_sends_from_its_own_process(here: Path) -> None:
    value = launch(f"{jobs.__file__}:train_on_forks", world=1, folder=str(here))[0].value
    [run] = runs(here)
    assert value == {"run": run.info.run_id}
    assert steps(here, run, "train_loss") == [0, 1]
    assert (run.info.status, run.data.tags["safeguards.tracking"]) == ("FINISHED", "complete")
    assert "safeguards/verdicts.jsonl" in artifacts(run)
