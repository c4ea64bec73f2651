"""The C++ that DeepSpeed compiles when it first needs it: where it is kept, what it needs, and what would make it hang.

Reading this module does not import deepspeed.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from safeguards.core.errors import ConfigurationError
from safeguards.core.process import environment

__all__ = ["build_roots", "compiler", "prepare", "say_what_device", "stale_locks"]

SHARED_MEMORY_OP = "deepspeed_shm_comm"
RENAMED_COLLECTIVES = r"`torch\.distributed\.(all_gather_into_tensor|reduce_scatter_tensor)` is deprecated"
"""A word of torch to DeepSpeed's authors that would be printed at every step."""

AUTOTUNERS_TRACKER = "mlflow"
"""DeepSpeed imports it for its autotuner, which no Trainer runs: three quarters of the seconds that deepspeed takes."""

OTHERS_LOCK_SECONDS = 3600.0
"""A lock whose owner cannot be looked up is given an hour; the longest build measured took under a minute."""


class _ProbedWhenAsked(dict[str, bool]):
    """DeepSpeed's table of the ops it could compile; filling it runs the compiler, which training need not wait for."""

    def __missing__(self, op: str) -> bool:
        known: dict[str, bool] = {**import_module("deepspeed.ops")._probe_compatible_ops(), **self}
        self.update(known)
        return known[op]


def prepare() -> None:
    """Import deepspeed for CPU processes, without its shared-memory op, and check what it compiles later.

    The shared-memory op is a faster all-reduce that is compiled at start; without it DeepSpeed trains the same weights
    over gloo, needs no compiler and cannot meet a stale lock. Raises `ConfigurationError` when deepspeed is missing or
    was imported for another device before.
    """
    os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(_own_root()))
    warnings.filterwarnings("ignore", message=RENAMED_COLLECTIVES, category=FutureWarning)
    deepspeed = _import_for_cpu()
    vars(deepspeed.ops).setdefault("__compatible_ops__", _ProbedWhenAsked())[SHARED_MEMORY_OP] = False
    _check_before_builds(import_module("deepspeed.ops.op_builder.builder").OpBuilder)


def say_what_device() -> None:
    """On a machine without any accelerator tell deepspeed so, which it would find out by itself with a warning."""
    if not torch.accelerator.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def _import_for_cpu() -> Any:
    """Where there are GPUs deepspeed takes them unless told otherwise before it is imported."""
    with environment({"DS_ACCELERATOR": "cpu"}), _hidden(AUTOTUNERS_TRACKER):
        try:
            deepspeed = import_module("deepspeed")
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"DeepSpeedCPUStrategy(): {error}; pip install deepspeed") from error
        device = deepspeed.accelerator.get_accelerator().device_name()
    if device != "cpu":
        raise ConfigurationError(
            f"DeepSpeedCPUStrategy(): deepspeed runs on {device} in this process; start it with DS_ACCELERATOR=cpu"
        )
    return deepspeed


def compiler() -> str | None:
    """Path of the C++ compiler that a build would use (the variable CXX, else ``c++``); None where there is none."""
    return shutil.which(os.environ.get("CXX", "c++"))


def stale_locks() -> list[Path]:
    """Lock files of builds that nobody is making any more; a build that meets one waits for ever. Empty is healthy."""
    return sorted(lock for root in build_roots() for lock in root.glob("**/lock") if _is_stale(lock))


def build_roots() -> list[Path]:
    """Folders that hold compiled ops, first that of this job: TORCH_EXTENSIONS_DIR, this environment's, torch's own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "torch_extensions"
    named = os.environ.get("TORCH_EXTENSIONS_DIR")
    return list(dict.fromkeys([*([Path(named)] if named else []), _own_root(), cache]))


def _own_root() -> Path:
    return Path(sys.prefix, "torch_extensions", f"py{sys.version_info.major}{sys.version_info.minor}")


def _is_stale(lock: Path) -> bool:
    """The builder holds its lock file open until it is done; a process of ours that has died holds nothing."""
    try:
        status = lock.stat()
    except FileNotFoundError:
        return False
    if status.st_uid != os.getuid() or not Path("/proc/self/fd").exists():
        return time.time() - status.st_mtime > OTHERS_LOCK_SECONDS
    return not any(_is_open_in(process, status) for process in Path("/proc").glob("[0-9]*"))


def _is_open_in(process: Path, status: os.stat_result) -> bool:
    try:
        return any(_same_file(handle, status) for handle in (process / "fd").iterdir())
    except OSError:
        return False


def _same_file(handle: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(handle.stat(), status)
    except OSError:
        return False


def _check_before_builds(builder: Any) -> None:
    """Every op that is compiled passes through ``jit_load``; it is told in one line what would fail or hang there."""
    if hasattr(builder.jit_load, "__wrapped__"):
        return
    original = builder.jit_load

    @wraps(original)
    def checked(self: Any, *args: Any, **options: Any) -> Any:
        _refuse_to_hang(self.name)
        return original(self, *args, **options)

    builder.jit_load = checked


def _refuse_to_hang(op: str) -> None:
    if compiler() is None:
        raise ConfigurationError(
            f"DeepSpeed's op {op!r} has to be compiled and there is no C++ compiler: install g++ or name one in CXX"
        )
    lock = build_roots()[0] / op / "lock"
    if _is_stale(lock):
        raise ConfigurationError(
            f"DeepSpeed's op {op!r} would wait for ever for a build that died; remove with: rm {lock}"
        )
    if shutil.which("ninja") is None:
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """What is imported meanwhile finds ``package`` missing, unless it is loaded already."""
    loaded = package in sys.modules
    sys.modules.setdefault(package, None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        if not loaded:
            del sys.modules[package]
