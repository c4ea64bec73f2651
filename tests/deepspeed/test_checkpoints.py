"""Checkpoints of DeepSpeed's that were cut short or planted, or whose job was killed: in process, and on two."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from safeguards.core.errors import EvidenceError
from safeguards.deepspeed.checkpoints import VerifiedCheckpoints
from safeguards.deepspeed.manifest import MANIFEST, Manifest
from tests.helpers.launch import launch

KEPT = Path(__file__).with_name("kept.py")
NAMES = ("mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt")
WHOLE = {f"checkpoint/{name}" for name in NAMES} | {"latest"}


class Planted:
    """What it is unpickled to is the command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


class Lightning:
    """What the strategies of both packages do with files: one after another, and pickles are run."""

    load_full_weights = zero_stage_3 = False

    def __init__(self, *, ckpt_path: Path | None = None, fn: str = "fit") -> None:
        self.lightning_module: Any = SimpleNamespace(
            trainer=SimpleNamespace(ckpt_path=ckpt_path, state=SimpleNamespace(fn=fn))
        )
        self.after: Callable[[str], None] = lambda name: None

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: str, storage_options: Any = None) -> None:
        place = Path(filepath)
        (place / "checkpoint").mkdir(parents=True)
        for name in (f"checkpoint/{name}" for name in NAMES):
            torch.save(checkpoint, place / name)
            self.after(name)
        (place / "latest").write_text("checkpoint")
        self.after("latest")

    def load_checkpoint(self, checkpoint_path: str, weights_only: bool | None = None) -> dict[str, Any]:
        place = Path(checkpoint_path) / (Path(checkpoint_path) / "latest").read_text()
        found: dict[str, Any] = torch.load(place / NAMES[0], weights_only=False)
        return found


class Strategy(VerifiedCheckpoints, Lightning):  # type: ignore[misc]
    pass


def save(target: Path, step: int) -> Path:
    Strategy().save_checkpoint({"global_step": step}, target)
    return target


def resumed(target: Path, **options: Any) -> int:
    return int(Strategy(ckpt_path=target, **options).load_checkpoint(target)["global_step"])


def test_a_checkpoint_is_in_its_place_with_nothing_beside_it(tmp_path: Path) -> None:
    assert resumed(save(tmp_path / "a.ckpt", 4)) == 4
    assert resumed(save(tmp_path / "a.ckpt", 8)) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]
    assert Manifest.read(tmp_path / "a.ckpt").files.keys() == WHOLE


def test_it_takes_the_place_of_a_link_and_of_a_file_and_leaves_what_the_link_led_to(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt", 4)
    (tmp_path / "last.ckpt").symlink_to(tmp_path / "a.ckpt")
    assert resumed(tmp_path / "last.ckpt") == 4
    save(tmp_path / "last.ckpt", 8)
    (tmp_path / "file").write_text("")
    save(tmp_path / "file", 12)
    assert [resumed(tmp_path / name) for name in ("a.ckpt", "last.ckpt", "file")] == [4, 8, 12]


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_cut_anywhere_the_newest_whole_one_is_resumed_from_and_said(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (4, 8, 12):
        save(tmp_path / f"{step}.ckpt", step)
    whole = (tmp_path / "12.ckpt" / name).read_bytes()
    for left in {0, 1, 2, 3, 7, *range(0, len(whole), 97), len(whole) - 1}:
        (tmp_path / "12.ckpt" / name).write_bytes(whole[:left])
        caplog.clear()
        assert resumed(tmp_path / "12.ckpt") == 8
        assert caplog.messages == [
            f"{tmp_path}/12.ckpt is not loaded: {name!r} has {left:,} of {len(whole):,} bytes. "
            "Training goes on from 8.ckpt, of step 8"
        ]
    (tmp_path / "8.ckpt" / name).unlink()
    assert resumed(tmp_path / "12.ckpt") == 4


def test_what_is_tested_is_what_was_named(tmp_path: Path) -> None:
    save(tmp_path / "4.ckpt", 4)
    (save(tmp_path / "8.ckpt", 8) / "latest").unlink()
    for options in ({"fn": "test"}, {"fn": "validate"}, {"ckpt_path": tmp_path / "4.ckpt"}, {"ckpt_path": None}):
        with pytest.raises(EvidenceError, match=r"8\.ckpt is not loaded: 'latest' is missing\. Nothing of it was"):
            Strategy(**{"ckpt_path": tmp_path / "8.ckpt", **options}).load_checkpoint(tmp_path / "8.ckpt")


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_pickle_does_not_run(name: str, tmp_path: Path) -> None:
    target, mark = save(tmp_path / "a.ckpt", 4), tmp_path / "ran"
    file = target / "checkpoint" / name
    size = file.stat().st_size
    planted = pickle.dumps(Planted(mark))
    for content in (planted, planted + b"\0" * (size - len(planted))):
        file.write_bytes(content)
        for unverified in (False, True):
            with pytest.raises(EvidenceError, match=name):
                resumed(target, resume_unverified=unverified)
    (target / MANIFEST).unlink()
    with pytest.raises(EvidenceError, match=f"no manifest {MANIFEST}.*pass resume_unverified=True to the strategy"):
        resumed(target)
    (target / MANIFEST).write_text("{}")
    with pytest.raises(EvidenceError, match="no manifest of a checkpoint"):
        resumed(target, resume_unverified=True)
    assert not mark.exists()
    torch.save(Planted(mark), target / "checkpoint" / NAMES[0])
    Lightning().load_checkpoint(str(target))
    assert mark.exists(), "without the check it would have run"


def test_without_a_manifest_it_is_loaded_only_where_the_user_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Lightning().save_checkpoint({"global_step": 4}, str(tmp_path / "plain.ckpt"))
    with pytest.raises(EvidenceError, match="not saved to its end, or not with one"):
        resumed(tmp_path / "plain.ckpt")
    assert resumed(tmp_path / "plain.ckpt", resume_unverified=True) == 4
    assert "is loaded unverified, as resume_unverified=True asks for" in caplog.text
    save(tmp_path / "ours.ckpt", 2)
    assert resumed(tmp_path / "plain.ckpt") == 2


def test_what_the_caller_held_against_its_digest_is_loaded(tmp_path: Path) -> None:
    Lightning().save_checkpoint({"global_step": 4}, str(tmp_path / "own"))
    assert Strategy().load_checked(tmp_path / "own") == {"global_step": 4}


@pytest.mark.parametrize("asked", ["http://example.org/a.ckpt", "a.ckpt"])
def test_a_single_file_of_whole_weights_is_not_unpickled_wherever_it_is(asked: str) -> None:
    """Of a remote one Lightning would run what it holds, unless it is told not to."""
    said: list[bool | None] = []

    class Single:
        load_full_weights = zero_stage_3 = True

        def load_checkpoint(self, checkpoint_path: str, weights_only: bool | None = None) -> None:
            said.append(weights_only)

    class Whole(VerifiedCheckpoints, Single):  # type: ignore[misc]
        pass

    Whole().load_checkpoint(asked)
    Whole().load_checkpoint(asked, False)
    Whole(resume_unverified=True).load_checkpoint(asked)
    assert said == [True, False, None]


def test_a_name_that_was_misspelt_is_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path / "4.ckpt", 4)
    with pytest.raises(EvidenceError, match=r"5\.ckpt is not loaded: there is no such folder"):
        resumed(tmp_path / "5.ckpt")


WRITTEN = (*(f"checkpoint/{name}" for name in NAMES), "latest")
KILLED = {
    **{("first", at): None for at in WRITTEN},
    **{("second", at): 4 for at in (*WRITTEN, "manifest")},
    **{("first", at): 8 for at in ("manifest", "rename 1", "end")},
    **{("second", at): 8 for at in ("rename 1", "rename 2", "end")},
}
"""Which step is found afterwards, by whether there was a checkpoint of that name and what was the last thing done."""


@pytest.mark.parametrize(("which", "at"), KILLED, ids=[" ".join(one) for one in KILLED])
def test_killed_between_any_two_steps_one_whole_checkpoint_is_left(which: str, at: str, tmp_path: Path) -> None:
    """The job is another process, and really killed; the next one saves and resumes as if nothing had been."""
    target, step = tmp_path / "last.ckpt", KILLED[which, at]
    if which == "second":
        save(target, 4)
    _killed(lambda: _saving_until(at, target))
    if step is None:
        with pytest.raises(EvidenceError, match="no such folder"):
            resumed(target)
    else:
        assert resumed(target) == step
    assert resumed(save(target, 12)) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def _saving_until(at: str, target: Path) -> None:
    job = Strategy()
    job.after = lambda name: _end_if(name == at)
    number = iter((1, 2))
    rename, write = Path.rename, Manifest.write

    def renamed(self: Path, to: Path) -> Path:
        found = rename(self, to)
        _end_if(at == f"rename {next(number)}")
        return found

    def wrote(self: Manifest, folder: Path) -> None:
        write(self, folder)
        _end_if(at == "manifest")

    Path.rename, Manifest.write = renamed, wrote  # type: ignore[assignment,method-assign]
    job.save_checkpoint({"global_step": 8}, target)
    _end_if(True)


def _end_if(now: bool) -> None:
    if now:
        os.kill(os.getpid(), signal.SIGKILL)


def _killed(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes under ZeRO left what they found; one of them is killed in the end, while it saves."""
    found = tmp_path_factory.mktemp("pair")
    first, second = launch(f"{KEPT}:everything", world=2, check=False, folder=str(found))
    assert second.returncode == -signal.SIGKILL, second.stderr[-4000:]
    assert (first.returncode, first.timed_out) != (0, False)
    return found


@pytest.fixture(scope="module")
def pair(place: Path) -> list[dict[str, Any]]:
    return [json.loads((place / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("stage", ["2", "3"])
def test_two_processes_resume_alike_from_what_is_whole(stage: str, pair: list[dict[str, Any]], place: Path) -> None:
    for rank in pair:
        found = rank[stage]
        assert [found[name]["batches"] for name in ("whole", "last", "cut")] == [8, 0, 4]
        assert without_buffers(found["last"]) == without_buffers(found["cut"]) == without_buffers(found["whole"])


@pytest.mark.parametrize("stage", ["2", "3"])
def test_on_two_processes_a_planted_pickle_runs_on_neither(stage: str, pair: list[dict[str, Any]], place: Path) -> None:
    first, second = (rank[stage] for rank in pair)
    assert first["planted"] == second["planted"]
    assert re.search(r"4\.ckpt is not loaded: '.*model_states\.pt' has .* bytes", first["planted"])
    assert first["unlisted"] == second["unlisted"]
    assert "has no manifest" in first["unlisted"]
    assert "resume_unverified=True" in first["unlisted"]
    assert not (place / stage / "ran").exists()


def test_on_two_processes_the_user_may_say_so(pair: list[dict[str, Any]]) -> None:
    assert [rank["unverified"]["batches"] for rank in pair] == [4, 4]


def test_a_process_that_is_killed_while_it_saves_leaves_the_checkpoint_that_was_there(place: Path) -> None:
    assert (place / "3-whole" / ".8.ckpt.unfinished").is_dir()
    kept = place / "3-whole" / "8.ckpt"
    assert Manifest.read(kept).problem(kept) is None


def without_buffers(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found["weights"].items() if name.endswith(("weight", "bias"))}
