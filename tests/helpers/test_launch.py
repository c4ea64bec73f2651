import atexit
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.helpers import forks
from tests.helpers.children import GROUP_SECONDS, SECONDS
from tests.helpers.forks import forker
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

    Path(f"here {os.environ['RANK']}").touch()
    while len(list(Path().glob("here *"))) < 2:
        time.sleep(0.05)
    dist.init_process_group("gloo")
    over = Path("over")
    if dist.get_rank() == 0:
        try:
            dist.barrier()
        finally:
            over.touch()
    while not over.exists():
        time.sleep(0.05)


def stay() -> None:
    signal.pause()


def traits() -> dict[str, Any]:
    imported = "pytorch_lightning" in sys.modules
    from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    defaults = [signature(kind).parameters["timeout"].default for kind in (DDPStrategy, DeepSpeedStrategy)]
    return {
        "seconds": [default.total_seconds() for default in defaults],
        "seed": hash("text"),
        "imported": imported,
        "lightning": rank_zero_only.rank,
        "leads": os.getpgrp() == os.getpid(),
        "rank": os.environ["RANK"],
        "folder": os.listdir(),
        "environment": [os.environ.get(name) for name in ("LATE", "PATH")],
    }


def say(text: str) -> None:
    atexit.register(print, "ended")
    os.write(1, f"{text}\n".encode())
    sys.exit(text)


def fail() -> None:
    raise ValueError("the cause")


def test_processes_talk_and_return_in_rank_order() -> None:
    results = launch(f"{__file__}:add", world=2, offset=10)
    assert [r.value for r in results] == [{"rank": 0, "world": 2, "total": 21}, {"rank": 1, "world": 2, "total": 21}]


def test_a_failure_shows_its_text_and_its_rank() -> None:
    with pytest.raises(AssertionError, match=r"rank 0 ended with 1(.|\n)*ValueError: the cause"):
        launch(f"{__file__}:fail", world=1)
    assert launch(f"{__file__}:fail", world=1, check=False)[0].value is None


@pytest.mark.parametrize(("fresh", "group_seconds"), [(False, GROUP_SECONDS), (True, 7)])
def test_each_process_is_its_own_whether_forked_or_fresh(
    fresh: bool, group_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning takes the short timeout of groups from torch, which read it when it was imported."""
    forker(world=2)
    monkeypatch.setenv("LATE", "set after the servers started")
    monkeypatch.delenv("PATH")
    results = launch(f"{__file__}:traits", world=2, fresh=fresh, group_timeout=group_seconds)
    first, second = (result.value for result in results)
    assert first.pop("seed") != second.pop("seed")
    same = {"imported": not fresh, "leads": True, "folder": ["0", "1"], "seconds": [group_seconds] * 2}
    same["environment"] = ["set after the servers started", None]
    assert first == {"rank": "0", "lightning": 0, **same}
    assert second == {"rank": "1", "lightning": 1, **same}


@pytest.mark.parametrize("fresh", [False, True])
def test_output_and_exit_are_those_of_an_interpreter(fresh: bool) -> None:
    (result,) = launch(f"{__file__}:say", world=1, fresh=fresh, check=False, text="enough")
    assert (result.returncode, result.stdout, result.stderr) == (1, "enough\nended\n", "enough\n")


def test_no_rank_starts_before_the_servers_of_all_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(forks, "server", lambda rank: Mock(wait_until_ready=lambda: waited.append(rank)))
    forker(world=3)
    assert waited == [0, 1, 2]


def test_a_missing_partner_ends_the_barrier() -> None:
    """Within the limit of the group, in which both also have to meet; neither goes there before both have started."""
    first, second = launch(f"{__file__}:one_stays_away", world=2, group_timeout=4, check=False)
    assert (first.returncode, "imed out" in first.stderr) == (1, True), first.stderr
    assert (second.returncode, second.timed_out) == (0, False), second.stderr


def test_the_outer_limit_ends_what_is_left() -> None:
    (left,) = launch(f"{__file__}:stay", world=1, timeout=1, check=False)
    assert (left.returncode, left.timed_out) == (-signal.SIGKILL, True)


def test_so_does_every_python_that_a_test_starts_and_those_that_it_starts(tmp_path: Path) -> None:
    """Whatever starts it: plain subprocess here, a launcher of processes in its place."""
    asked = (
        "from pytorch_lightning.strategies import DDPStrategy\n"
        "from safeguards.deepspeed import DeepSpeedCPUStrategy\n"
        "print(*(one()._timeout.total_seconds() for one in (DDPStrategy, DeepSpeedCPUStrategy)))"
    )
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {asked!r}], check=True)"
    said = subprocess.check_output([sys.executable, "-c", starter], cwd=tmp_path, text=True, timeout=150)
    assert said.splitlines()[-1] == f"{GROUP_SECONDS} {GROUP_SECONDS}"


def test_a_script_whose_partner_stays_away_says_so_before_its_time_is_up(tmp_path: Path) -> None:
    script = (
        "import os, torch.distributed as dist\n"
        "os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT='0', RANK='0', WORLD_SIZE='2')\n"
        "dist.init_process_group('gloo')"
    )
    result = run([sys.executable, "-c", script], check=False, cwd=tmp_path, env={SECONDS: "1"})
    assert (result.timed_out, result.returncode) == (False, 1)
    assert "Timed out after" in result.stderr


def is_alive(pid: int) -> bool:
    """A killed process takes a moment to go, and stays as a zombie where nobody waits for it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    return False


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
    deadline = time.monotonic() + 10
    while (alive := is_alive(int(result.stdout))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive
