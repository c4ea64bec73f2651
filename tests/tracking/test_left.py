"""Spools that jobs left behind, and who tells of them."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from safeguards._cli import doctor
from safeguards._cli.doctor import Finding
from safeguards.cli import main
from safeguards.core.process import this_process
from safeguards.tracking.spool import LINES
from safeguards.tracking.syncing import left_below, sync
from tests.helpers.killing import begun, ended
from tests.tracking.test_syncing import END, GONE, job, left_behind, loss

NOBODY = 65534


def test_the_doctor_tells_of_a_spool_that_a_killed_job_left(here: Path) -> None:
    """It left no word beside its ledger: that is written as it ends."""
    uri = job(here)["uri"]
    left = [left_behind(here, loss(0), name=f"job-{number}") for number in (1, 2)]
    left_behind(here, loss(0), name="job-3", owner=this_process())
    left_behind(here, loss(0), name="job-4", owner={**GONE, "host": "elsewhere"})
    left_behind(here, name="job-5")
    (left_behind(here, loss(0), name="job-8") / LINES).open("a").write('{"kind": "process"}\n')
    (here / "safeguards_spool" / "job-9").mkdir()
    (here / "safeguards_spool" / "job-9" / LINES).symlink_to(here / "nowhere")
    (here / "safeguards_spool" / "job-6").mkdir()
    (here / "safeguards_spool" / "job-6" / LINES).write_text("nonsense")
    assert left_below(here) == left
    told = doctor.spools(uri)
    assert (told.healthy, told.text) == (
        False,
        f"2 jobs that are gone left something to be sent: safeguards sync {here / 'safeguards_spool'}",
    )
    with (left[0] / LINES).open("a") as file:
        file.write('{"kind": "values", "torn')
    for place in left:
        assert sync(place).left is None
    assert left_below(here) == []
    assert doctor.spools(uri) == Finding(healthy=True, text=f"nothing waits in {here / 'safeguards_spool'}")
    left_behind(here, loss(0), END, name="job-7")
    assert not doctor.spools(uri).healthy, "one that ended, and whose store was away"


def test_the_doctor_looks_into_spools_that_it_was_told_of(here: Path) -> None:
    """`MLflowTracker(spool=...)` keeps them where nobody else knows."""
    uri = job(here)["uri"]
    for number, team in enumerate(("a", "b", "b")):
        left_behind(here / team, loss(0), name=f"job-{number}")
    assert doctor.spools(uri).healthy
    told = doctor.spools(uri, [Path("a"), here / "b", here / "b"])
    assert told.text.split("; ") == [
        f"1 jobs that are gone left something to be sent: safeguards sync {here / 'a'}",
        f"2 jobs that are gone left something to be sent: safeguards sync {here / 'b'}",
    ]
    (here / "c").mkdir()
    quiet = f"nothing waits in {here / 'safeguards_spool'}, {here / 'c'}"
    assert doctor.spools(uri, [here / "c"]) == Finding(healthy=True, text=quiet)
    missing = Finding(healthy=False, text=f"{here / 'd'} is no folder that can be read; name one with spools below it")
    assert doctor.spools(uri, [Path("c"), Path("d")]) == missing


def test_what_the_doctor_may_not_read_is_not_healthy() -> None:
    """A folder that is closed, one within it, and a name that no folder can have."""

    def asked(place: Path) -> bool:
        told = doctor.spools("sqlite:////mlflow.db", [place]).text
        return told == f"{place} is no folder that can be read; name one with spools below it"

    def work(places: list[Path]) -> int:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        return sum(map(asked, places))

    with TemporaryDirectory() as open_:
        closed = Path(open_, "closed")
        (closed / "within").mkdir(parents=True)
        closed.chmod(0)
        Path(open_).chmod(0o755)
        assert ended(begun(lambda: work([closed, closed / "within", Path(open_, 300 * "x")]))) == 3
        closed.chmod(0o700)


def test_the_command_line_tells_the_doctor_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(doctor, "run", lambda **settings: asked.append(settings["spool"]) or 0)
    assert (main(["doctor"]), main(["doctor", "--spool", "a", "--spool", "b"])) == (0, 0)
    assert asked == [[], [Path("a"), Path("b")]]
