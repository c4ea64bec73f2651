"""Load and predict where nothing is loaded yet: what a server would meet, found out before it does.

``python -m safeguards.gate.fresh FOLDER DIGEST CLASS...`` is the process that `check_in_a_fresh_process` starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from safeguards.core.errors import SafeguardError
from safeguards.core.ranks import describe

__all__ = ["SECONDS", "check_here", "check_in_a_fresh_process"]

SECONDS = 300.0
LONGEST = 600


def check_in_a_fresh_process(
    folder: Path, *, digest: str, allowed: Sequence[str], seconds: float = SECONDS
) -> str | None:
    """None when a new process loads the stored model and predicts what is stored; else why not, in one sentence."""
    command = [sys.executable, "-m", "safeguards.gate.fresh", str(folder.resolve()), digest, *allowed]
    path = os.pathsep.join(dict.fromkeys(place or os.getcwd() for place in sys.path))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a fresh process did not load the model and predict within {seconds:g} s"
    except OSError as error:
        return f"no fresh process could be started to load the model ({error.strerror or error})"
    return _answer(done)


def _answer(done: subprocess.CompletedProcess[bytes]) -> str | None:
    """The last line is the process's own word; a model's code may print before it."""
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    try:
        problem = json.loads(lines[-1])["problem"]
    except (IndexError, ValueError, KeyError, TypeError):
        return f"a fresh process that loaded the model ended with code {done.returncode} and without an answer"
    if done.returncode != 0:
        return f"a fresh process that loaded the model ended with code {done.returncode}"
    return None if problem is None else str(problem)[:LONGEST]


def check_here(folder: Path, *, digest: str, allowed: Sequence[str]) -> str | None:
    """As `check_in_a_fresh_process`, in this one."""
    from safeguards.gate.loading import check_prediction
    from safeguards.gate.stored import StoredModel

    try:
        return check_prediction(StoredModel.read(folder, digest=digest), allowed=allowed)
    except SafeguardError as error:
        return describe(error)
    except Exception as error:  # of the model's own forward
        return f"it does not predict: {describe(error)}"


def main(folder: str, digest: str, *allowed: str) -> int:
    """Answer in one line of JSON: ``{"problem": null}`` or what is wrong."""
    problem = check_here(Path(folder), digest=digest, allowed=allowed)
    print(f"\n{json.dumps({'problem': problem})}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
