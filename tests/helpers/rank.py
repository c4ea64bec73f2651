"""The script that a rank runs: ``rank.py JOB VALUE`` for one job, ``rank.py serve`` to be forked into many.

A server has imported torch, Lightning and DeepSpeed, so that a rank starts in 0.1 s instead of six. It reads requests,
a line of JSON each, and answers each in one line, until its standard input is closed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_job(job: str, value: Path) -> None:
    """Import the file, call the function, write what it returns."""
    asked = json.loads(job)
    spec = importlib.util.spec_from_file_location(Path(asked["file"]).stem, asked["file"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    value.write_text(json.dumps(getattr(module, asked["function"])(**asked["arguments"])))
    leave_groups()


def leave_groups() -> None:
    """A process that exits while gloo's threads are at work may abort."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def import_what_jobs_import() -> None:
    """Nothing here may start a thread or a device, which no fork would inherit, or load what jobs may be asked about.

    DeepSpeed's optimizers bring torch's compiler, a second of imports that each start under ZeRO would repeat.
    """
    import pytorch_lightning  # noqa: F401

    os.environ["DS_ACCELERATOR"] = "cpu"
    sys.modules["mlflow"] = None  # type: ignore[assignment]
    with contextlib.suppress(ImportError):
        import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    del sys.modules["mlflow"]
    gc.freeze()


def serve() -> tuple[str, Path] | None:
    """In a forked process what `run_job` needs; None in the server itself, at its end."""
    answer: Any
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer = os.fork()
            if answer == 0:
                return become(**request["start"])
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpgid(answer, answer)
        elif "ready" in request:
            answer = True
        else:
            ended, status = os.waitpid(*request["look"])
            answer = os.waitstatus_to_exitcode(status) if ended else None
        print(json.dumps(answer), flush=True)
    return None


def become(job: str, place: str, env: Mapping[str, str], cwd: str) -> tuple[str, Path]:
    """Take on what a new process is given: a group of its own, a folder, an environment and files for its output."""
    os.setpgid(0, 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, name in enumerate((os.devnull, f"{place}/stdout", f"{place}/stderr")):
        opened = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    return job, Path(place, "value")


def main(arguments: list[str]) -> None:
    if arguments != ["serve"]:
        job, value = arguments
        return run_job(job, Path(value))
    import_what_jobs_import()
    started: Any = serve()
    return run_job(*started) if started else None


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    main(sys.argv[1:])
