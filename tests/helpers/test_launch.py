import signal
import sys
from pathlib import Path

import pytest

from tests.helpers.launch import launch, run


def add(offset: int) -> dict[str, float]:
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    total = torch.tensor([dist.get_rank() + offset])
    dist.all_reduce(total)
    return {"rank": dist.get_rank(), "world": dist.get_world_size(), "total": total.item()}


def one_stays_away() -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo")
    if dist.get_rank() == 0:
        dist.barrier()
    signal.pause()


def seconds_of_lightning() -> list[float]:
    from inspect import signature

    from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy

    defaults = [signature(kind).parameters["timeout"].default for kind in (DDPStrategy, DeepSpeedStrategy)]
    return [default.total_seconds() for default in defaults]


def fail() -> None:
    raise ValueError("the cause")


def test_processes_talk_and_return_in_rank_order() -> None:
    results = launch(f"{__file__}:add", world=2, offset=10)
    assert [r.value for r in results] == [{"rank": 0, "world": 2, "total": 21}, {"rank": 1, "world": 2, "total": 21}]


def test_a_failure_shows_its_text_and_its_rank() -> None:
    with pytest.raises(AssertionError, match=r"rank 0 ended with 1(.|\n)*ValueError: the cause"):
        launch(f"{__file__}:fail", world=1)
    assert launch(f"{__file__}:fail", world=1, check=False)[0].value is None


def test_a_missing_partner_ends_the_barrier_and_the_outer_limit_ends_the_rest() -> None:
    first, second = launch(f"{__file__}:one_stays_away", world=2, timeout=5, group_timeout=1, check=False)
    assert not first.timed_out
    assert "imed out" in first.stderr
    assert second.timed_out


def test_lightning_takes_the_short_group_timeout() -> None:
    assert launch(f"{__file__}:seconds_of_lightning", world=1, group_timeout=7)[0].value == [7, 7]


def test_children_of_a_killed_command_are_killed_too(tmp_path: Path) -> None:
    script = """
import os, subprocess
os.mkfifo("pipe")
child = subprocess.Popen(["cat", "pipe"])
print(child.pid, flush=True)
child.wait()
"""
    result = run([sys.executable, "-c", script], timeout=1, check=False, cwd=tmp_path)
    assert result.timed_out
    state = Path(f"/proc/{int(result.stdout)}/stat")
    assert not state.exists() or state.read_text().split(")")[1].split()[0] == "Z"
