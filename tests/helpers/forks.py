"""Processes that are forked from servers, handled as if they had been started here. See rank.py for the other side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from tests.helpers.children import surroundings

__all__ = ["SCRIPT", "Process", "forker"]

SCRIPT = Path(__file__).with_name("rank.py")


class Process(Protocol):
    """A running process that leads a group of its own, so its id is also the id of the group."""

    pid: int
    returncode: Any

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


class Fork:
    """Only the server that forked it may wait for it."""

    def __init__(self, server: Server, **start: Any) -> None:
        self._server = server
        self.pid: int = server.ask(start=start)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._look(os.WNOHANG)

    def wait(self) -> int:
        status = self._look(0)
        assert status is not None
        return status

    def _look(self, options: int) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ask(look=[self.pid, options])
        return self.returncode


class Server:
    """Lives as long as its standard input is open: until the tests end, whatever ends them."""

    def __init__(self, rank: int) -> None:
        own = {"OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)}
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **surroundings(os.environ), **own},
            start_new_session=True,
            text=True,
        )
        self._ready = False

    def wait_until_ready(self) -> None:
        """Returns once its imports are behind it."""
        self._ready = self._ready or self.ask(ready=True)

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@cache
def server(rank: int) -> Server:
    """Each rank has its own: Lightning reads the rank when it is imported, and hash seeds differ between processes."""
    return Server(rank)


def forker(world: int) -> Callable[..., Process]:
    """Starts rank ``rank`` of ``world`` as a fork: `fork`, once the servers of all are there, imported side by side.

    A rank that is forked at once would wait for one whose server is not ready, and no longer than its group's timeout.
    """
    for one in [server(rank) for rank in range(world)]:
        one.wait_until_ready()
    return fork


def fork(rank: int, job: str, place: Path, env: Mapping[str, str], cwd: Path) -> Process:
    """A process that runs ``job`` as rank.py would if it were started anew; ``place`` takes its output."""
    place.mkdir()
    return Fork(server(rank), job=job, place=str(place), env=dict(env), cwd=str(cwd))
