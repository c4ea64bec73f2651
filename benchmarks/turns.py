"""Works compared to a percent: each goes on in a process of its own, and only the one whose turn it is.

A machine's speed drifts by a quarter between two fits, and by little within the tenths of a second of a turn. So the
works of a round advance side by side, turn by turn, and what slows one down slows the others down as well. The time of
a work is the sum of its turns: nothing is left out of it but to wait for them.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from safeguards.core.process import environment

__all__ = ["Done", "HandOn", "side_by_side"]

PATIENCE_SECONDS = 300.0
THREADS_SLEEP = {"OMP_WAIT_POLICY": "passive"}  # they would spin on in another's turn

Task = TypeVar("Task")
Found = TypeVar("Found")
HandOn = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Done(Generic[Found]):
    """What a work returned, the seconds of its turns, and those that processors worked in them, all threads summed."""

    found: Found
    seconds: float
    processor_seconds: float


@contextmanager
def side_by_side(
    work: Callable[[Task, HandOn], Found], *, places: int
) -> Iterator[Callable[[Sequence[Task]], list[Done[Found]]]]:
    """A function that does a task in each of so many processes, in turns, and gives what was done in the same order.

    ``work`` must be importable; it calls its second argument, often and at the same points in every task, to hand the
    turn on. A process may be faster than another for as long as it lives: let every kind of task go through all places.

    The function raises `RuntimeError` where a process ends, and `TimeoutError` where a turn does not.
    """
    with ExitStack() as open_, environment(THREADS_SLEEP):
        lines = [open_.enter_context(_process(work)) for _ in range(places)]
        yield lambda tasks: _round(lines, tasks)


def _round(lines: Sequence[Connection], tasks: Sequence[Any]) -> list[Done[Any]]:
    for line, task in zip(lines, tasks, strict=True):
        line.send(task)
    done: dict[int, Done[Any]] = {}
    waiting = deque(range(len(lines)))
    while waiting:
        place = waiting.popleft()
        told = _turn(lines[place], tasks[place])
        if told is None:
            waiting.append(place)
        else:
            done[place] = told
    return [done[place] for place in range(len(lines))]


def _turn(line: Connection, task: Any) -> Done[Any] | None:
    try:
        line.send(None)
        if line.poll(PATIENCE_SECONDS):
            told: Done[Any] | None = line.recv()
            return told
    except (EOFError, OSError) as error:
        raise RuntimeError(f"the process that worked on {task} has ended: what it said last is above") from error
    raise TimeoutError(f"a turn of {task} took more than {PATIENCE_SECONDS:.0f} seconds")


@contextmanager
def _process(work: Callable[[Any, HandOn], Any]) -> Iterator[Connection]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
    process.start()
    theirs.close()  # or its end would never be noticed here
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        ours.close()


def _serve(work: Callable[[Any, HandOn], Any], line: Connection) -> None:
    while True:
        task = line.recv()
        gc.collect()  # what the last one left is not at the cost of this one
        clock = _Clock(line)
        found = work(task, clock.hand_on)
        line.send(clock.stop(found))


class _Clock:
    """Runs in the turns of one work."""

    def __init__(self, line: Connection) -> None:
        self._line, self._seconds, self._processor_seconds = line, 0.0, 0.0
        self._await()

    def hand_on(self) -> None:
        self._halt()
        self._line.send(None)
        self._await()

    def stop(self, found: Found) -> Done[Found]:
        self._halt()
        return Done(found=found, seconds=self._seconds, processor_seconds=self._processor_seconds)

    def _await(self) -> None:
        self._line.recv()
        self._since = time.perf_counter(), time.process_time()

    def _halt(self) -> None:
        self._seconds += time.perf_counter() - self._since[0]
        self._processor_seconds += time.process_time() - self._since[1]
