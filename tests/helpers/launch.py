"""Real processes for distributed tests: a fixed number, a port of their own, an end to what hangs, nothing left behind.

The function under test lives in a test file (or beside it), takes plain JSON arguments and returns plain JSON:

    # tests/topic/test_guard.py
    from tests.helpers.launch import launch

    WORLD = int(os.environ.get("WORLD_SIZE", "1"))    # read early: Lightning deletes it at the end of each fit

    def count(rows: int) -> dict[str, int]:           # runs on every process
        trainer = pl.Trainer(accelerator="cpu", devices=WORLD, strategy="ddp", ...)
        ...
        return {"rank": trainer.global_rank, "n": rows}

    def test_count() -> None:
        first, second = launch(f"{__file__}:count", world=2, rows=57)
        assert first.value == {"rank": 0, "n": 57}

Each process has RANK and the environment of Lightning's ``LightningEnvironment`` (LOCAL_RANK, NODE_RANK, WORLD_SIZE,
MASTER_ADDR, MASTER_PORT), one thread, and a temporary working directory that is removed at the end. Every process group
made in it, Lightning's and DeepSpeed's included, times out after ``group_timeout`` seconds unless the function names a
timeout itself. After ``timeout`` seconds each process still alive is killed with all its children. `run` does the same
for one command, for scripts that start their own processes; their groups have the timeout of children.py.

Processes are forked from one that has torch, Lightning and DeepSpeed imported already. A test on what is imported asks
for ``fresh`` interpreters. ``env`` and ``group_timeout``, which imports read, and a GPU, which no fork keeps, need them
too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.helpers.children import GROUP_SECONDS, SECONDS, surroundings
from tests.helpers.forks import SCRIPT, Process, forker
from tests.helpers.ports import held_port

__all__ = ["RankResult", "launch", "run"]

LONGEST_SECONDS = 240.0
"""Many times what any job takes on a quiet machine: this ends what hangs, and nothing that is slow. Less than pytest's
own limit, which would leave the processes behind.
"""
FOREIGN = (
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "GROUP_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "PL_GLOBAL_SEED",
)


@dataclass(frozen=True, kw_only=True)
class RankResult:
    """How one process ended. ``value`` is None unless the function returned; ``seconds`` from its start to its end."""

    rank: int
    returncode: int
    value: Any
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool


def launch(
    target: str,
    world: int,
    *,
    timeout: float = LONGEST_SECONDS,
    group_timeout: float = GROUP_SECONDS,
    check: bool = True,
    fresh: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **arguments: Any,
) -> list[RankResult]:
    """Run ``path/to/file.py:function`` with ``arguments`` (JSON) on ``world`` processes; one result per rank, in order.

    ``timeout`` and ``group_timeout`` are seconds. Raises ``AssertionError`` with the end of each failing rank's stderr
    unless ``check=False``.
    """
    anew = fresh or env or group_timeout != GROUP_SECONDS or torch.accelerator.is_available()
    begin = _start_rank if anew else forker(world)
    file, function = target.rsplit(":", 1)
    job = json.dumps(
        {
            "file": str(Path(file).resolve()),
            "function": function,
            "arguments": arguments,
        }
    )
    shared = {"WORLD_SIZE": str(world), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", SECONDS: str(group_timeout)}
    with tempfile.TemporaryDirectory() as scratch, held_port() as port:
        shared["MASTER_PORT"] = str(port)
        places, where = [Path(scratch, str(rank)) for rank in range(world)], cwd or Path(scratch)
        own = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), **(env or {})} for rank in range(world)]
        processes = [begin(rank, job, place, _environment(own[rank]), where) for rank, place in enumerate(places)]
        results = _finish(processes, places, timeout)
    if check:
        _raise_failures(results)
    return results


def run(
    command: Sequence[str],
    *,
    timeout: float = LONGEST_SECONDS,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> RankResult:
    """Run one command that starts its own processes; all of them end with it or after ``timeout`` seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch, "0")
        process = _start(command, place, _environment(env or {}), cwd or Path(scratch))
        results = _finish([process], [place], timeout)
    if check:
        _raise_failures(results)
    return results[0]


def _start_rank(rank: int, job: str, place: Path, env: Mapping[str, str], cwd: Path) -> Process:
    return _start([sys.executable, str(SCRIPT), job, str(place / "value")], place, env, cwd)


def _start(command: Sequence[str], place: Path, env: Mapping[str, str], cwd: Path) -> Process:
    place.mkdir()
    with (place / "stdout").open("wb") as out, (place / "stderr").open("wb") as err:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd, env=env, start_new_session=True
        )


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    return {**inherited, **surroundings(inherited), "OMP_NUM_THREADS": "1", **own}


def _finish(processes: Sequence[Process], places: Sequence[Path], timeout: float) -> list[RankResult]:
    start, ended = time.monotonic(), dict[int, float]()
    try:
        while len(ended) < len(processes) and time.monotonic() - start < timeout:
            for rank, process in enumerate(processes):
                if rank not in ended and process.poll() is not None:
                    ended[rank] = time.monotonic() - start
            time.sleep(0.02)
    finally:
        for process in processes:
            _end_with_children(process)
    return [
        RankResult(
            rank=rank,
            returncode=process.returncode,
            value=json.loads((place / "value").read_text()) if (place / "value").exists() else None,
            stdout=(place / "stdout").read_text(errors="replace"),
            stderr=(place / "stderr").read_text(errors="replace"),
            seconds=ended.get(rank, timeout),
            timed_out=rank not in ended,
        )
        for rank, (process, place) in enumerate(zip(processes, places, strict=True))
    ]


def _end_with_children(process: Process) -> None:
    """Each process leads a group of its own, so its id is the id of the group of all it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _raise_failures(results: Sequence[RankResult]) -> None:
    failed = [result for result in results if result.returncode != 0]
    texts = [f"rank {r.rank} {_how(r)} after {r.seconds:.1f} s\n{r.stderr[-4000:]}" for r in failed]
    assert not failed, "\n".join(texts)


def _how(result: RankResult) -> str:
    return "timed out" if result.timed_out else f"ended with {result.returncode}"
