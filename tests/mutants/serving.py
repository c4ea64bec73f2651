"""Runs pytest for mutants: ``serving.py MODULE ...`` has imported what is heavy, and forks.

It reads requests, a line of JSON each, and answers each in one line, until its standard input is closed. Of the project
it keeps nothing, for that is another in each run.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import time

EVERY_SECONDS = 0.02


def tested(arguments: list[str], seconds: float) -> int | None:
    """The exit code of pytest; None where it took longer."""
    child = os.fork()
    if not child:
        become_pytest(arguments)
    ends = time.monotonic() + seconds
    while not (found := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < ends:
        time.sleep(EVERY_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if found[0]:
        return os.waitstatus_to_exitcode(found[1])
    os.waitpid(child, 0)
    return None


def become_pytest(arguments: list[str]) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    code = 3  # of pytest: an internal error
    try:
        import pytest

        code = int(pytest.main(arguments))
    finally:
        os._exit(code)


def forget_the_project() -> None:
    """MLflow has loaded what this project adds to it."""
    here = os.getcwd() + os.sep
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(here):
            del sys.modules[name]


def serve(modules: list[str]) -> None:
    for name in modules:
        importlib.import_module(name)
    forget_the_project()
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(tested(**json.loads(line))), flush=True)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    serve(sys.argv[1:])
