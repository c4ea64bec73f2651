"""What is removed is what nothing needs; a kill in the middle leaves each delivery and job whole or gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from safeguards.core.errors import ConfigurationError, RegistryError
from safeguards.gate import promote, rollback
from safeguards.retraining import Job, Shelf, deliver, only_one, prune
from safeguards.tracking import MLflowTracker
from safeguards.tracking.spool import Progress
from safeguards.tracking.standing import MARKER
from safeguards.tracking.syncing import left_below, sync
from tests.gate.conftest import at_once, registry
from tests.gate.evidence import C
from tests.gate.test_promotion import ASKED, make
from tests.helpers.killing import begun, ended, killed_at
from tests.tracking.conftest import here
from tests.tracking.jobs import Net, trainer

__all__ = ["at_once", "here", "registry"]
pytestmark = pytest.mark.usefixtures("at_once")


def taken(place: Path, shelf: Shelf, number: int, *, when: int | None = None) -> str:
    """The fingerprint of a delivery, taken at a time of its own."""
    folder = place / f"incoming-{number}"
    folder.mkdir()
    pd.DataFrame({"age": range(number, number + 5)}).to_parquet(folder / "a.parquet")
    deliver(folder)
    found = shelf.take(folder)
    at = number if when is None else when
    os.utime(found.folder, (at, at))
    return found.manifest.fingerprint


def job(shelf: Shelf, number: int, *, steps: tuple[str, ...] = ("meet", "look", "tell")) -> Path:
    folder = shelf.job({"week": number})
    made = Job(folder, key={"week": number})
    for step in steps:
        made.step(step, _left_a_file)
    os.utime(folder, (number, number))
    return folder


def _left_a_file(at: Path) -> dict[str, Any]:
    (at / "file").write_text("x")
    return {}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(root=tmp_path / "root", model="risk")


@pytest.fixture
def year(tmp_path: Path, shelf: Shelf, registry: Any) -> tuple[list[str], list[Path]]:
    """Six deliveries and their jobs; the first two made champions, of which one was taken back."""
    data = [taken(tmp_path, shelf, number) for number in range(1, 7)]
    jobs = [job(shelf, number) for number in range(1, 7)]
    for number in range(2):
        folder, sealed = make(tmp_path / f"c{number}", registry, seed=number)
        replace(sealed, data={"delivery": data[number], "frozen": C}).write(folder / "record.json")
        assert promote(folder, policy=ASKED, registry=registry).admitted
    assert rollback(registry) == 1
    return data, jobs


def told_of_its_spool(run: Path, spool: Path) -> None:
    """As a run at its end says where what it sends lies."""
    run.mkdir(parents=True)
    spool.mkdir(exist_ok=True)
    (run / MARKER).write_text(json.dumps({"spool": str(spool)}))


def left(shelf: Shelf, what: str) -> set[str]:
    return {one.name for one in (shelf.folder / what).iterdir()}


def test_the_newest_stay_and_what_any_champion_learned_from(year: Any, shelf: Shelf, registry: Any) -> None:
    data, jobs = year
    removed = prune(shelf, registry, keep=2, but=jobs[5])
    assert left(shelf, "data") == {data[0], data[1], data[4], data[5]}
    assert left(shelf, "jobs") == {one.name for one in jobs[3:]}
    assert sorted(removed) == sorted([*data[2:4], *(one.name for one in jobs[:3])])
    assert all(shelf.delivery(one) for one in (data[0], data[1]))
    assert prune(shelf, registry, keep=2, but=jobs[5]) == []


def test_a_delivery_that_was_taken_again_is_new_again(year: Any, shelf: Shelf, registry: Any, tmp_path: Path) -> None:
    data, jobs = year
    shelf.take(tmp_path / "incoming-3")
    prune(shelf, registry, keep=1, but=jobs[5])
    assert left(shelf, "data") == {data[0], data[1], data[2]}


def test_jobs_that_something_needs_stay(year: Any, shelf: Shelf, registry: Any, tmp_path: Path) -> None:
    """One that was killed before its end, one at work, a live audit's, and those of which MLflow lacks a part: of the
    training, or of a trial of the search before it.
    """
    _, jobs = year
    unfinished = job(shelf, 11, steps=("meet", "look"))
    audit = job(shelf, 12, steps=("judge", "note", "publish", "tell"))
    unsent = [job(shelf, number, steps=("meet", "look", "search", "train", "tell")) for number in (13, 14)]
    told_of_its_spool(unsent[0] / "04-train" / "safeguards" / "run", tmp_path / "spool")
    told_of_its_spool(unsent[1] / "03-search" / "trial-7" / "safeguards" / "run", tmp_path / "spool")
    for old in (unfinished, audit, *unsent):
        os.utime(old, (0, 0))
    prune(shelf, registry, keep=1, but=jobs[0])
    stay = {one.name for one in (unfinished, audit, *unsent, jobs[0], jobs[5])}
    assert left(shelf, "jobs") == stay
    Progress(complete=True).keep(tmp_path / "spool")
    prune(shelf, registry, keep=1, but=jobs[0])
    assert left(shelf, "jobs") == stay - {one.name for one in unsent}


class Killed(Net):
    """Killed once it was judged: it told nobody how it ended."""

    def on_train_epoch_end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_search_with_a_trial_that_was_killed_stays_until_the_trial_is_sent(
    year: Any, shelf: Shelf, registry: Any, here: Path
) -> None:
    """All of its spools are known to it, whatever folder they lie in."""
    _, jobs = year
    searched = job(shelf, 11, steps=("meet", "look", "search", "train", "tell"))
    place = searched / "03-search" / "trial-7"

    def trial() -> None:
        trainer(MLflowTracker(spool=here / "elsewhere"), place).fit(Killed())

    assert ended(begun(trial)) == -signal.SIGKILL
    [ledger] = place.glob("safeguards/*/verdicts.jsonl")
    assert len(ledger.read_text().splitlines()) == 1
    os.utime(searched, (0, 0))
    prune(shelf, registry, keep=1, but=jobs[0])
    assert ledger.is_file()
    [spool] = left_below(here / "elsewhere")
    assert sync(spool).left is None
    prune(shelf, registry, keep=1, but=jobs[0])
    assert not searched.exists()


def test_what_a_challenger_learned_from_stays_as_long_as_its_job(
    year: Any, shelf: Shelf, registry: Any, tmp_path: Path
) -> None:
    """One that waited, or was refused, may be promoted by hand; the next comparison needs its data then."""
    data, jobs = year
    waiting = job(shelf, 11, steps=("meet", "look", "train", "compare"))
    _, sealed = make(tmp_path / "waiting", registry, seed=8)
    (waiting / "05-seal").mkdir()
    replace(sealed, data={"delivery": data[2], "frozen": C}).write(waiting / "05-seal" / "record.json")
    prune(shelf, registry, keep=1, but=jobs[5])
    assert left(shelf, "data") == {data[0], data[1], data[2], data[5]}


def test_while_a_live_audit_is_at_work_nothing_is_removed(year: Any, shelf: Shelf, registry: Any) -> None:
    data, jobs = year
    with only_one(shelf.folder, "live audit of risk"):
        assert prune(shelf, registry, keep=1, but=jobs[5]) == []
    assert (len(left(shelf, "data")), len(left(shelf, "jobs"))) == (len(data), len(jobs))


def test_where_nobody_knows_what_a_champion_learned_from_nothing_is_removed(
    year: Any, shelf: Shelf, registry: Any
) -> None:
    _, jobs = year
    registry.store.entries[1] = registry.store.entries[1].replace("promoted", "refused", 1)
    with pytest.raises(RegistryError, match="was changed"):
        prune(shelf, registry, keep=1, but=jobs[5])
    assert (len(left(shelf, "data")), len(left(shelf, "jobs"))) == (6, 6)
    with pytest.raises(ConfigurationError, match="expected 1 or more"):
        prune(shelf, registry, keep=0, but=jobs[5])


def renames_or_removes(event: str, arguments: tuple[object, ...]) -> bool:
    return event in {"os.rename", "os.remove", "os.rmdir"} and arguments[0] is not None


def test_killed_at_any_point_each_is_whole_or_gone(year: Any, shelf: Shelf, registry: Any, tmp_path: Path) -> None:
    data, jobs = year
    number, how = 0, -signal.SIGKILL
    while how == -signal.SIGKILL:
        number += 1
        part = Shelf(root=tmp_path / f"part-{number}", model="risk")
        shutil.copytree(shelf.root, part.root)
        for name in (*(f"data/{one}" for one in data), *(f"jobs/{one.name}" for one in jobs)):
            shutil.copystat(shelf.folder / name, part.folder / name)
        but = part.folder / "jobs" / jobs[5].name
        how = killed_at(number, renames_or_removes, partial(prune, part, registry, keep=1, but=but))
        for one in left(part, "data") & {*data}:
            assert part.delivery(one)
        for one in left(part, "jobs") & {one.name for one in jobs}:
            assert len(list((part.folder / "jobs" / one).glob("*/file"))) == 3
        prune(part, registry, keep=1, but=but)
        assert left(part, "data") == {data[0], data[1], data[5]}
        assert left(part, "jobs") == {jobs[4].name, jobs[5].name}
    assert (how, number > 10) == (0, True)
