"""Artifacts of a spool that somebody else may have written to: nothing but what lies in it is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from safeguards.tracking.syncing import sync
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
