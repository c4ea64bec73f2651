"""What SIGTERM does to a command, by commands that do little else; those that train are in test_sigterm.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines import told
from pipelines.told import FIRST, ToldToEnd, ends_when_told, keep_sigterm, tell_too
from tests.helpers.children import ROOT

LINE = "error: told to end (SIGTERM) before it was done"
CUT_OFF = f"{LINE}; what it was at did not end and was cut off\n"
LONGEST_SECONDS = 60.0  # of a busy machine: it ends what hangs
BEGIN = """
import ctypes, os, signal, subprocess, sys, time
from multiprocessing import get_context
if "AT_ONCE" in os.environ:
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
from pipelines import told
from tests.helpers.children import ROOT

context = get_context("fork")
started = context.Event()

def ready(*words):
    print("ready", *words, flush=True)

def waits():
    time.sleep(100)

def is_told_in_c():
    "Where no handler runs, and nothing comes back from."
    ctypes.CDLL(None).system(b"exec >&- 2>&-; kill -TERM $PPID; while kill -0 $PPID; do sleep 0.02; done")

class Launcher:
    "As Lightning's, as far as it matters here."
    def __init__(self):
        self.procs = []
    def start(self, code):
        one = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.procs.append(one)
        one.stdout.readline()  # nothing, where it was told to end before it came so far
        return one.pid
    def fork(self):
        self.procs.append(context.Process(target=waits))
        self.procs[-1].start()
        return self.procs[-1].pid

PLAIN = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + PLAIN
launcher = Launcher()
"""
END = "\nsys.exit(told.ends_when_told(work))\n"


def begun(work: str, **variables: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A command that does this work, once it is ready, and the ids that it told."""
    job = subprocess.Popen(
        [sys.executable, "-c", BEGIN + work + END],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    return job, [int(word) for word in job.stdout.readline().split()[1:]]


def ended(job: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = job.communicate(timeout=LONGEST_SECONDS)
    finally:
        job.kill()
    return job.returncode, out, err


def told_to_end(work: str) -> tuple[int, str, str]:
    job, _ = begun(work)
    job.terminate()
    return ended(job)


def is_gone(pid: int) -> bool:
    """Soon; a process that nobody has waited for is gone too."""
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_it_is_interrupted_where_it_is_and_closes_what_is_open() -> None:
    work = """
def work():
    try:
        ready()
        waits()
    finally:
        print("closed")
"""
    assert told_to_end(work) == (143, "closed\n", f"{LINE}\n")


def test_nothing_interrupts_the_way_out() -> None:
    """Neither another signal nor how the workers of a loader end, of which torch makes an error."""
    work = """
def fails(*_):
    raise RuntimeError("a worker is killed")

def work():
    signal.signal(signal.SIGCHLD, fails)
    try:
        ready()
        waits()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        subprocess.run(["true"])
        time.sleep(0.1)
        print("closed")
"""
    assert told_to_end(work) == (143, "closed\n", f"{LINE}\n")


@pytest.mark.parametrize("then", ["return 0", "raise ValueError('the other process is gone')"])
def test_whatever_becomes_of_the_interruption_the_command_was_told_to_end(then: str) -> None:
    work = f"""
def work():
    try:
        ready()
        waits()
    except BaseException:
        {then}
"""
    assert told_to_end(work) == (143, "", f"{LINE}\n")


def test_a_way_out_that_hangs_is_cut_off() -> None:
    work = """
told.MOST_SECONDS = 0.2
def work():
    try:
        ready()
        waits()
    finally:
        waits()
"""
    assert told_to_end(work) == (143, "", CUT_OFF)


def test_what_runs_no_handler_is_cut_off() -> None:
    work = """
told.MOST_SECONDS = 0.2
def work():
    ready()
    is_told_in_c()
"""
    assert ended(begun(work)[0]) == (143, "", CUT_OFF)


@pytest.mark.parametrize("other", ["start(PLAIN)", "start(DEAF)", "fork()"])
def test_what_was_started_ends_with_it_and_is_not_watched_any_more(other: str) -> None:
    job, (started,) = begun(f"""
told.LAST_SECONDS = 0.2
def work():
    told.tell_too(launcher)
    try:
        ready(launcher.{other})
        waits()
    finally:
        time.sleep(0.2)
        print(launcher.procs)
""")
    job.terminate()
    assert ended(job) == (143, "[]\n", f"{LINE}\n")
    assert is_gone(started)


def test_what_is_started_on_the_way_out_ends_with_it() -> None:
    work = """
def work():
    told.tell_too(launcher)
    try:
        ready()
        waits()
    finally:
        print(launcher.start(PLAIN))
"""
    code, out, _ = told_to_end(work)
    assert code == 143
    assert is_gone(int(out))


@pytest.mark.parametrize(("other", "most", "takes"), [("PLAIN", 60.0, (0.0, 50.0)), ("DEAF", 2.0, (2.0, 50.0))])
def test_one_that_waits_for_processes_that_are_gone_is_cut_off_sooner(
    other: str, most: float, takes: tuple[float, float]
) -> None:
    job, _ = begun(f"""
told.MOST_SECONDS, told.STUCK_SECONDS, told.LAST_SECONDS = {most}, 0.2, 0.2
def work():
    told.tell_too(launcher)
    ready(launcher.start({other}))
    is_told_in_c()
""")
    began = time.monotonic()
    assert ended(job) == (143, "", CUT_OFF)
    assert takes[0] <= time.monotonic() - began < takes[1]


def test_one_that_was_started_tells_the_first_and_leaves_the_word_to_it() -> None:
    job, (started,) = begun("""
SECOND = '''
import os, time
from pipelines import told
def work():
    print(os.getpid(), flush=True)
    time.sleep(100)
told.ends_when_told(work)
'''
def work():
    told.tell_too(launcher)
    ready(launcher.start(SECOND))
    waits()
""")
    os.kill(started, signal.SIGTERM)
    assert ended(job) == (143, "", f"{LINE}\n")
    assert is_gone(started)


def test_one_whose_parent_is_no_first_process_tells_nobody_else() -> None:
    with subprocess.Popen(["sleep", "100"]) as bystander:
        job, _ = begun("def work():\n    ready()\n    waits()\n", **{FIRST: str(bystander.pid)})
        job.terminate()
        assert ended(job) == (143, "", f"{LINE}\n")
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize(("worker", "ends"), [("waits", -signal.SIGTERM), ("handles", 3)])
def test_a_worker_that_is_forked_ends_alone(worker: str, ends: int) -> None:
    job, _ = begun(f"""
def handles():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    started.set()
    waits()

def work():
    worker = context.Process(target={worker})
    worker.start()
    assert {worker} is waits or started.wait(60)
    worker.terminate()
    worker.join()
    time.sleep(0.1)
    ready()
    return 7 if worker.exitcode == {ends} else 1
""")
    assert ended(job) == (7, "", "")


def test_a_worker_that_is_ended_as_it_is_forked_ends_alone() -> None:
    work = """
def work():
    worker = context.Process(target=waits)
    worker.start()
    worker.join()
    time.sleep(0.1)
    ready()
    return 7 if worker.exitcode == -signal.SIGTERM else 1
"""
    assert ended(begun(work, AT_ONCE="true")[0]) == (7, "", "")


def state() -> tuple[object, int, str | None]:
    wakes = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakes)
    return signal.getsignal(signal.SIGTERM), wakes, os.environ.get(FIRST)


class Launcher:
    def __init__(self) -> None:
        self.procs: list[object] = []


def fails() -> int:
    raise ValueError("a fault")


def test_one_that_is_not_told_ends_as_it_would_and_leaves_all_as_it_was() -> None:
    before = state()

    def work() -> int:
        tell_too(Launcher())
        assert state()[0] != before[0]
        assert state()[2] == str(os.getpid())
        return 3

    assert ends_when_told(work) == 3
    with pytest.raises(ValueError, match="a fault"):
        ends_when_told(fails)
    assert state() == before


def test_another_handler_is_undone_only_while_a_command_is_at_work() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def handler_after(undo: Callable[[], None]) -> object:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        undo()
        return signal.getsignal(signal.SIGTERM)

    try:
        assert handler_after(keep_sigterm) is signal.SIG_IGN
        assert ends_when_told(lambda: int(handler_after(keep_sigterm) is signal.SIG_IGN)) == 0
        assert told._here is None
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_thread_has_no_signals() -> None:
    before = state()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ends_when_told, lambda: int(signal.getsignal(signal.SIGTERM) == before[0])).result() == 1


def test_the_interruption_is_an_exit_with_the_code_of_a_shell() -> None:
    assert ToldToEnd().code == 128 + signal.SIGTERM
    assert str(ToldToEnd()) == "SIGTERM"
