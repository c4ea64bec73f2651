from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from safeguards.core.errors import ConfigurationError, DataRefused, EvidenceError
from safeguards.retraining import Shelf, Trigger, deliver
from safeguards.tracking.spool import Progress
from safeguards.tracking.standing import MARKER
from tests.helpers.killing import killed_at

TRAINING = {"model": {"class_path": "a.B"}, "trainer": {"max_epochs": 3}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    pd.DataFrame({"age": range(50)}).to_parquet(folder / "a.parquet")
    deliver(folder)
    return folder


def test_a_delivery_is_taken_once_and_found_by_its_fingerprint(tmp_path: Path, source: Path) -> None:
    shelf = Shelf(root=tmp_path / "root", model="risk/north")
    first = shelf.take(source)
    made = first.paths[0].stat().st_ino
    assert shelf.take(source) == shelf.delivery(first.manifest.fingerprint) == first
    assert first.paths[0].stat().st_ino == made
    assert first.folder.is_relative_to(tmp_path / "root" / "risk_2f_north" / "data")


def test_a_copy_that_was_changed_is_not_trusted(tmp_path: Path, source: Path) -> None:
    shelf = Shelf(root=tmp_path, model="risk")
    first = shelf.take(source)
    first.paths[0].write_bytes(b"another")
    with pytest.raises(DataRefused, match="has changed since it was taken"):
        shelf.take(source)
    with pytest.raises(DataRefused, match="has changed since it was taken"):
        shelf.delivery(first.manifest.fingerprint)


def test_a_whole_other_delivery_under_a_fingerprint_is_not_trusted(tmp_path: Path, source: Path) -> None:
    shelf = Shelf(root=tmp_path, model="risk")
    first = shelf.take(source)
    pd.DataFrame({"age": range(60)}).to_parquet(first.paths[0])
    deliver(first.folder)
    with pytest.raises(DataRefused, match="has changed since it was taken; put back what was delivered"):
        shelf.delivery(first.manifest.fingerprint)


def test_data_that_are_gone_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="the data of the champion are not here"):
        Shelf(root=tmp_path, model="risk").delivery("0" * 64)
    with pytest.raises(DataRefused, match="are not here"):
        Shelf(root=tmp_path, model="risk").delivery("../../etc")


def test_a_champion_that_no_retraining_made_is_told(tmp_path: Path, source: Path) -> None:
    shelf = Shelf(root=tmp_path, model="risk")
    first = shelf.take(source)
    assert shelf.learned_from({"delivery": first.manifest.fingerprint}) == first
    with pytest.raises(DataRefused, match="risk's champion names no delivery"):
        shelf.learned_from({"frozen": "0" * 64})


def touches(root: str, event: str, arguments: tuple[object, ...]) -> bool:
    return event in {"open", "os.mkdir", "os.rename"} and str(arguments[0]).startswith(root)


def test_killed_at_any_point_a_delivery_is_whole_or_not_there(tmp_path: Path, source: Path) -> None:
    number, ended = 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        number += 1
        shelf = Shelf(root=tmp_path / str(number), model="risk")
        ended = killed_at(number, partial(touches, str(shelf.root)), partial(shelf.take, source))
        found = shelf.take(source)
        assert [path.name for path in found.folder.parent.iterdir()] == [found.manifest.fingerprint]
    assert (ended, number > 8) == (0, True)


def test_a_training_is_remembered_by_its_digest(tmp_path: Path) -> None:
    shelf = Shelf(root=tmp_path, model="risk")
    digest = shelf.remember(TRAINING)
    assert shelf.remember(TRAINING) == digest
    assert shelf.training(digest) == TRAINING
    (file,) = tmp_path.glob("risk/trainings/*.json")
    file.write_text(file.read_text().replace("3", "4"))
    with pytest.raises(EvidenceError, match="do not give its digest"):
        shelf.training(digest)
    with pytest.raises(EvidenceError, match="cannot read"):
        shelf.training("0" * 64)


def test_a_job_is_told_by_its_key(tmp_path: Path) -> None:
    shelf = Shelf(root=tmp_path, model="risk")
    assert shelf.job({"a": 1, "b": 2}) == shelf.job({"b": 2, "a": 1}) != shelf.job({"a": 1, "b": 3})


def test_what_lies_on_the_shelf_cut_at_any_length_is_refused(tmp_path: Path, source: Path) -> None:
    """The manifest and the data of a delivery that was taken, and the configuration of a training."""
    shelf = Shelf(root=tmp_path / "root", model="risk")
    first, digest = shelf.take(source), shelf.remember(TRAINING)
    (training,) = tmp_path.glob("root/risk/trainings/*.json")
    for path in (*first.folder.iterdir(), training):
        whole = path.read_bytes()
        for length in range(0, len(whole.rstrip()), max(1, len(whole) // 100)):
            path.write_bytes(whole[:length])
            with pytest.raises((DataRefused, EvidenceError)) as told:
                shelf.delivery(first.manifest.fingerprint), shelf.training(digest)
            assert "\n" not in str(told.value)
        path.write_bytes(whole)
    assert shelf.delivery(first.manifest.fingerprint) == first
    assert shelf.training(digest) == TRAINING


def test_two_that_take_a_delivery_at_once_make_one_copy(tmp_path: Path, source: Path) -> None:
    """A retraining and a live audit: neither removes what the other is copying."""
    shelf = Shelf(root=tmp_path / "root", model="risk")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if len(shelf.take(source).paths) == 1 else 2)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert [path.name for path in (tmp_path / "root" / "risk" / "data").iterdir()] == [
        shelf.take(source).manifest.fingerprint
    ]


def audited(shelf: Shelf, week: int, *reasons: str) -> Path:
    """The folder of a live audit's job, that is in the book."""
    job = shelf.job({"live audit": week})
    (job / "03-publish").mkdir(parents=True)
    trigger = Trigger(k=1, n=1, cooldown=1)
    shelf.audits.note(data=str(week), model="m", reasons=reasons, trigger=trigger, job=job.name)
    return job


def test_jobs_of_live_audits_stay_that_are_new_or_asked_for(tmp_path: Path) -> None:
    shelf = Shelf(root=tmp_path, model="risk")
    retraining, unfinished = shelf.job({"delivery": "x"}), shelf.job({"live audit": "unfinished"})
    retraining.mkdir(parents=True)
    unfinished.mkdir()
    unpublished = audited(shelf, 99)
    (unpublished / "03-publish").rename(unpublished / "03-publish.part")
    stays = {retraining, unfinished, unpublished}
    weeks = [audited(shelf, week, *(["drift"] if week == 1 else [])) for week in range(5)]

    def left() -> set[Path]:
        return set((tmp_path / "risk" / "jobs").iterdir())

    shelf.clear(2, but=weeks[0])
    assert left() == stays | {weeks[0], weeks[1], weeks[3], weeks[4]}
    opened = shelf.audits.opened("new")
    assert opened is not None
    shelf.audits.answer(opened, data="new")
    shelf.clear(2, but=weeks[4])
    assert left() == stays | {weeks[3], weeks[4]}
    shelf.clear(0, but=weeks[4])
    assert left() == stays | {weeks[4]}
    assert len(shelf.audits.past()) == 6


def test_the_job_of_a_live_audit_that_waits_to_be_sent_stays(tmp_path: Path) -> None:
    shelf = Shelf(root=tmp_path, model="risk")
    waits, newest = audited(shelf, 0), audited(shelf, 1)
    (tmp_path / "spool").mkdir()
    (waits / "03-publish" / MARKER).write_text(json.dumps({"spool": str(tmp_path / "spool")}))
    shelf.clear(1, but=newest)
    assert waits.is_dir()
    Progress(complete=True).keep(tmp_path / "spool")
    shelf.clear(1, but=newest)
    assert not waits.exists()


@pytest.mark.parametrize("name", ["../../elsewhere", "{}/elsewhere", "..", "/"])
def test_a_name_in_the_book_that_leads_elsewhere_removes_nothing(tmp_path: Path, name: str) -> None:
    shelf = Shelf(root=tmp_path, model="risk")
    job = audited(shelf, 0)
    (tmp_path / "elsewhere" / "03-publish").mkdir(parents=True)
    shelf.audits.note(data="x", model="m", reasons=(), trigger=Trigger(k=1, n=1), job=name.format(tmp_path))
    shelf.clear(0, but=job)
    assert job.is_dir()
    assert (tmp_path / "elsewhere" / "03-publish").is_dir()
    with pytest.raises(ConfigurationError, match="expected 0 or more"):
        shelf.clear(-1, but=job)
