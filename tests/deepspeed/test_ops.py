"""Locks, the compiler and the cache of DeepSpeed's compiled ops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from safeguards.core.errors import ConfigurationError
from safeguards.deepspeed import ops
from tests.helpers.launch import launch


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ops, "build_roots", lambda: [tmp_path])
    path = tmp_path / "cpu_adam" / "lock"
    path.parent.mkdir()
    return path


def test_a_lock_is_stale_once_nobody_holds_it_open(lock: Path) -> None:
    assert ops.stale_locks() == []
    with lock.open("w"):
        assert ops.stale_locks() == []
    assert ops.stale_locks() == [lock]


def test_a_lock_that_another_process_holds_is_alive(lock: Path) -> None:
    code = f"import sys; held = open({str(lock)!r}, 'w'); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert ops.stale_locks() == []
        holder.kill()
    assert ops.stale_locks() == [lock]


@pytest.mark.parametrize(("accelerator", "told"), [(False, "cpu"), (True, None)])
def test_deepspeed_is_told_of_the_cpu_only_where_there_is_nothing_else(
    monkeypatch: pytest.MonkeyPatch, accelerator: bool, told: str | None
) -> None:
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    monkeypatch.setattr(ops.torch.accelerator, "is_available", lambda: accelerator)
    ops.say_what_device()
    assert os.environ.get("DS_ACCELERATOR") == told


@pytest.mark.parametrize(("age_seconds", "stale"), [(60, False), (7200, True)])
def test_a_lock_of_another_user_is_judged_by_its_age(
    lock: Path, monkeypatch: pytest.MonkeyPatch, age_seconds: int, stale: bool
) -> None:
    lock.touch()
    now = lock.stat().st_mtime
    os.utime(lock, (now - age_seconds, now - age_seconds))
    monkeypatch.setattr(ops.os, "getuid", lambda: lock.stat().st_uid + 1)
    assert ops.stale_locks() == ([lock] if stale else [])


def test_the_compiler_is_the_one_in_cxx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", sys.executable)
    assert ops.compiler() == sys.executable
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert ops.compiler() is None


def test_locks_are_looked_for_where_torch_and_the_strategy_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    named, own, cache = ops.build_roots()
    assert named == tmp_path / "named"
    assert own.is_relative_to(sys.prefix)
    assert cache == tmp_path / "cache" / "torch_extensions"


def test_a_lock_elsewhere_holds_up_no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As plain DeepSpeed leaves one in the user's cache, where nothing of this job is built."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    elsewhere, here = (
        tmp_path / place / "cpu_adam" / "lock" for place in ("cache/torch_extensions/py311_cpu", "named")
    )
    elsewhere.parent.mkdir(parents=True)
    elsewhere.touch()
    assert ops.stale_locks() == [elsewhere]
    ops._refuse_to_hang("cpu_adam")
    here.parent.mkdir(parents=True)
    here.touch()
    with pytest.raises(ConfigurationError, match=f"rm {here}"):
        ops._refuse_to_hang("cpu_adam")


def build(folder: str) -> dict[str, str]:
    """Where CPU Adam would be built, and what building it says without a compiler and with a stale lock."""
    os.environ.pop("TORCH_EXTENSIONS_DIR", None)
    ops.prepare()
    said = {"place": os.environ["TORCH_EXTENSIONS_DIR"]}
    os.environ["TORCH_EXTENSIONS_DIR"] = folder
    ops.prepare()
    assert os.environ["TORCH_EXTENSIONS_DIR"] == folder, "or what follows would be built elsewhere"
    from deepspeed.ops import __compatible_ops__ as table
    from deepspeed.ops.op_builder import CPUAdamBuilder

    os.environ["CXX"] = "no-such-compiler"
    said["compiler"] = _text_of(CPUAdamBuilder().jit_load)
    del os.environ["CXX"]
    lock = Path(folder, "cpu_adam", "lock")
    lock.parent.mkdir(parents=True)
    lock.touch()
    said["lock"] = _text_of(CPUAdamBuilder().jit_load)
    said["table"] = f"{dict(table)}, then {table['cpu_adam']} among {len(table)}"
    said["wrapped_once"] = str(hasattr(CPUAdamBuilder.jit_load.__wrapped__, "__wrapped__"))
    return said


def _text_of(work: object) -> str:
    try:
        work()  # type: ignore[operator]
    except ConfigurationError as error:
        return str(error)
    return "built"


def test_what_is_built_lies_in_the_environment_and_a_build_that_would_fail_or_hang_says_so(tmp_path: Path) -> None:
    (result,) = launch(f"{__file__}:build", world=1, folder=str(tmp_path))
    said = result.value
    assert Path(said["place"]).is_relative_to(sys.prefix)
    assert "no C++ compiler" in said["compiler"]
    assert f"rm {tmp_path / 'cpu_adam' / 'lock'}" in said["lock"]
    assert "\n" not in said["compiler"] + said["lock"]
    assert said["wrapped_once"] == "False"
    assert result.stdout == ""
    assert said["table"].startswith("{'deepspeed_shm_comm': False}, then ")
