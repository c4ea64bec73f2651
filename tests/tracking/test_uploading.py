"""Artifacts of a spool that somebody else may have written to: nothing but what lies in it is sent."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from mlflow.tracking import MlflowClient

from safeguards.cli import main
from safeguards.tracking import uploading
from safeguards.tracking.syncing import spools_below, sync
from safeguards.tracking.uploading import upload
from tests.tracking.looking import endless
from tests.tracking.test_syncing import CANARY, END, left_behind, loss


def test_a_spool_does_not_choose_what_of_this_machine_is_sent(here: Path) -> None:
    """Nor what of it is emptied, as a copy is once it has arrived."""
    secret = here / "private" / "key.txt"
    secret.parent.mkdir()
    secret.write_text(CANARY)
    named = [
        {"source": str(secret.parent)},
        *({"copy": name} for name in ("link", "file", "folder", "pipe", "no-folder", "..")),
    ]
    place = left_behind(here, loss(0), *(("artifacts", {**one, "to": ""}) for one in named), END)
    copies = place / "artifacts"
    for name in ("file", "folder", "pipe"):
        (copies / name / "below").mkdir(parents=True)
    (copies / "no-folder").write_text("text")
    (copies / "link").symlink_to(secret.parent)
    (copies / "file" / "below" / "key.txt").symlink_to(secret)
    (copies / "folder" / "below" / "private").symlink_to(secret.parent)
    os.mkfifo(copies / "pipe" / "below" / "key.txt")
    other = left_behind(here, ("artifacts", {"copy": "private", "to": ""}), END, name="job-2")
    (other / "artifacts").symlink_to(here)
    assert sync(place).left == "7 artifacts are lost"
    assert sync(other).left == "1 artifacts are lost"
    assert not [path for path in (here / "mlruns").rglob("*") if path.is_file()]
    assert secret.read_text() == CANARY


@pytest.mark.parametrize("swapped", ["key.txt", "below", "."])
def test_what_is_put_in_its_place_after_the_look_is_neither_sent_nor_emptied(
    here: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    secret = here / "private" / "key.txt"
    secret.parent.mkdir()
    secret.write_text(CANARY)
    place = left_behind(here, loss(0), ("artifacts", {"copy": "a", "to": ""}), END)
    copy = place / "artifacts" / "a"
    (copy / "below").mkdir(parents=True)
    for path in (copy / "key.txt", copy / "below" / "key.txt"):
        path.write_text("of the job")
    send = MlflowClient.log_artifacts

    def swap_and_send(client: MlflowClient, *about: object) -> None:
        (copy / swapped).rename(here / "away")
        (copy / swapped).symlink_to(secret if swapped == "key.txt" else secret.parent)
        send(client, *about)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "log_artifacts", swap_and_send)
    assert sync(place).left is None
    sent = [path for path in (here / "mlruns").rglob("*") if path.is_file()]
    assert [path.read_text() for path in sent] == ["of the job"] * 2
    assert secret.read_text() == CANARY


def sent_to(here: Path) -> list[str]:
    return sorted(path.read_text() for path in (here / "mlruns").rglob("*") if path.is_file())


def uploaded(spool: Path, *, own: bool) -> tuple[bool, list[str]]:
    """Whether it arrived, and the folders that went to the store."""

    class Store:
        sent: list[str] = []  # noqa: RUF012 - of this store alone

        def log_artifacts(self, _: str, folder: str, __: str | None) -> None:
            self.sent.append(folder)

    store = Store()
    return upload(cast(MlflowClient, store), "run", spool, {"copy": "model"}, "", own=own), store.sent


def a_copy(spool: Path) -> Path:
    copy = spool / "artifacts" / "model"
    copy.mkdir(parents=True)
    (copy / "weights").write_text(CANARY)
    return copy


@pytest.mark.parametrize("own", [True, False])
def test_a_spool_that_is_a_link_sends_and_empties_nothing(tmp_path: Path, own: bool) -> None:
    copy = a_copy(tmp_path / "mlruns" / "0" / "run")
    (tmp_path / "job-1").symlink_to(tmp_path / "mlruns" / "0" / "run")
    assert uploaded(tmp_path / "job-1", own=own) == (False, [])
    assert (copy / "weights").read_text() == CANARY


def test_nor_does_one_above_which_a_link_was_put_after_its_lines_were_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = left_behind(here, loss(0), ("artifacts", {"copy": "model", "to": ""}), END)
    copy = a_copy(here / "elsewhere" / place.name)
    log_batch = MlflowClient.log_batch

    def swap(client: MlflowClient, *about: Any, **more: Any) -> None:
        if not place.parent.is_symlink():
            place.parent.rename(here / "away")
            shutil.copy(here / "away" / place.name / "lines.jsonl", here / "elsewhere" / place.name)
            place.parent.symlink_to(here / "elsewhere")
        log_batch(client, *about, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", swap)
    assert sync(place).left == "1 artifacts are lost"
    assert place.parent.is_symlink()
    assert (copy / "weights").read_text() == CANARY


def test_a_spool_that_is_named_by_a_link_is_the_one_it_leads_to(here: Path) -> None:
    place = left_behind(here, loss(0), ("artifacts", {"copy": "model", "to": ""}), END)
    a_copy(place)
    (here / "linked").symlink_to(place)
    assert main(["sync", str(here / "linked")]) == 0
    assert sent_to(here) == [CANARY]


@pytest.mark.parametrize("strange", ["link", "pipe", "deep"])
@pytest.mark.parametrize("own", [True, False])
def test_what_is_neither_file_nor_folder_is_sent_from_nobody(tmp_path: Path, strange: str, own: bool) -> None:
    copy = a_copy(tmp_path / "job-1")
    (copy / "below").mkdir()
    if strange == "link":
        (copy / "below" / "x").symlink_to(copy / "weights")
    elif strange == "pipe":
        os.mkfifo(copy / "below" / "x")
    else:
        (copy / Path(*["d"] * (uploading.DEEPEST + 1))).mkdir(parents=True)
    assert uploaded(tmp_path / "job-1", own=own) == (False, [])
    assert (copy / "weights").read_text() == CANARY


def test_folders_without_end_are_lost_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each reader of a folder calls itself for the next; there are more than Python lets it."""
    place = left_behind(here, loss(0), ("artifacts", {"copy": "model", "to": ""}), END)
    with endless(a_copy(place)):
        assert main(["sync", str(here)]) == 1
    assert "1 artifacts are lost" in capsys.readouterr().out


def test_where_the_folder_for_temporary_files_is_full_the_rest_arrives_and_nothing_is_lost(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [("artifacts", {"copy": name, "to": ""}) for name in ("large", "small", "gone")]
    place = left_behind(here, loss(0), *lines, END)
    for name, text in (("large", "x" * 5000), ("small", "small")):
        (place / "artifacts" / name).mkdir(parents=True)
        (place / "artifacts" / name / f"{name}.txt").write_text(text)
    temporary = here / "temporary"
    temporary.mkdir()
    copied = uploading._copied

    def on_a_full_disk(opened: int, target: Path, size: int) -> None:
        if size > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copied(opened, target, size)

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(temporary))
        patched.setattr(uploading, "_copied", on_a_full_disk)
        for _ in range(2):
            left = str(sync(place).left)
            assert "TMPDIR" in left
            assert "5,000 bytes" in left
            assert str(temporary) in left
            assert sent_to(here) == ["small"]
        assert list(temporary.iterdir()) == []
    assert sync(place).left == "1 artifacts are lost"
    assert sent_to(here) == ["small", "x" * 5000]


def test_what_could_never_fit_is_not_begun(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = left_behind(here, loss(0), ("artifacts", {"copy": "model", "to": ""}), END)
    with (a_copy(place) / "sparse").open("wb") as file:
        file.truncate(1 << 43)
    monkeypatch.setattr(uploading, "_copied", lambda *_: pytest.fail("it was begun"))
    assert "TMPDIR" in str(sync(place).left)


def test_a_file_that_grows_is_copied_as_far_as_it_went(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("begin and more")
    with (tmp_path / "log").open("rb") as file:
        uploading._copied(file.fileno(), tmp_path / "copy", 5)
    assert (tmp_path / "copy").read_text() == "begin"


def test_private_copies_say_whose_they_are(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = left_behind(here, loss(0), ("artifacts", {"copy": "model", "to": ""}), END)
    a_copy(place)
    sent = []
    monkeypatch.setattr(MlflowClient, "log_artifacts", lambda _, __, folder, ___: sent.append(Path(folder).name))
    assert sync(place).left is None
    assert sent[0].startswith("safeguards-sync-")


def test_what_lies_in_a_spool_is_no_spool(tmp_path: Path) -> None:
    place = left_behind(tmp_path, END)
    (place / "artifacts").mkdir()
    shutil.copy(place / "lines.jsonl", place / "artifacts")
    assert spools_below(tmp_path) == [place]
