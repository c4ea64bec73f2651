"""Each check is shown a machine with the fault it is there for, and one without."""

from pathlib import Path

import pytest
import torch.distributed as dist
from packaging.requirements import Requirement

from safeguards._cli import doctor, handshake
from safeguards._cli.doctor import Finding
from safeguards.cli import main
from safeguards.deepspeed import ops
from tests.helpers.ports import held_port

HEALTHY = Finding(healthy=True, text="fine")


def test_versions_lists_what_is_installed() -> None:
    finding = doctor.versions()
    assert finding.healthy, finding.text
    assert "torch 2." in finding.text
    assert "pytorch-lightning 2." in finding.text


@pytest.mark.parametrize(("line", "there"), [("torch>=900", "nothing like it"), ("a-package-of-nobody", "nothing")])
def test_versions_names_what_is_missing_or_out_of_range(monkeypatch: pytest.MonkeyPatch, line: str, there: str) -> None:
    monkeypatch.setattr(doctor, "required", lambda: [Requirement(line)])
    finding = doctor.versions()
    assert not finding.healthy
    assert f"{line} is asked for" in finding.text
    assert there in finding.text or doctor.installed("torch") in finding.text
    assert "pip install" in finding.text


def test_required_leaves_out_extras() -> None:
    names = {requirement.name for requirement in doctor.required()}
    assert "torch" in names
    assert "hypothesis" not in names


def test_a_dead_builds_lock_is_named_with_its_removal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setattr(ops, "build_roots", lambda: [tmp_path])
    assert doctor.build_locks().healthy
    lock = tmp_path / "py311_cpu" / "cpu_adam" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    finding = doctor.build_locks()
    assert not finding.healthy
    assert f"rm {lock}" in finding.text


def test_a_missing_compiler_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "a-compiler-of-nobody")
    assert not doctor.compiler().healthy
    assert "CXX" in doctor.compiler().text


def test_two_processes_talk() -> None:
    finding = doctor.processes()
    assert finding.healthy, finding.text


def test_ones_that_do_not_add_up_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("init_process_group", "all_reduce", "destroy_process_group"):
        monkeypatch.setattr(dist, name, lambda *_, **__: None)
    with pytest.raises(SystemExit, match=r"two ones made 1\.0"):
        handshake.main("0", "nowhere")


def test_processes_that_cannot_meet_are_reported_with_their_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import sys; sys.exit('the interface is down')")
    monkeypatch.setattr(doctor, "HANDSHAKE", broken)
    finding = doctor.processes()
    assert not finding.healthy
    assert "the interface is down" in finding.text
    assert "GLOO_SOCKET_IFNAME" in finding.text


def test_processes_that_hang_are_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hangs = tmp_path / "hangs.py"
    hangs.write_text("import sys; sys.stdout.close(); import threading; threading.Event().wait()")
    monkeypatch.setattr(doctor, "HANDSHAKE", hangs)
    monkeypatch.setattr(doctor, "HANDSHAKE_SECONDS", 0.2)
    finding = doctor.processes()
    assert not finding.healthy
    assert "no answer" in finding.text


def test_a_healthy_machine_is_0_and_a_problem_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("versions", "build_locks", "compiler", "processes"):
        monkeypatch.setattr(doctor, name, lambda: HEALTHY)
    for name in ("tracking_store", "spools"):
        monkeypatch.setattr(doctor, name, lambda *asked: HEALTHY)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.count("ok ") == 6
    monkeypatch.setattr(doctor, "compiler", lambda: Finding(healthy=False, text="none; install g++"))
    assert main(["doctor", "--quiet"]) == 1
    assert capsys.readouterr().out == "PROBLEM  compiler     none; install g++\n"


def test_a_password_in_the_address_is_never_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("versions", "build_locks", "compiler", "processes"):
        monkeypatch.setattr(doctor, name, lambda: HEALTHY)
    with held_port() as port:
        assert main(["doctor", "--tracking-uri", f"http://ann:hunter2@127.0.0.1:{port}"]) == 1
    said = capsys.readouterr()
    assert "127.0.0.1" in said.out
    assert "hunter2" not in said.out + said.err
