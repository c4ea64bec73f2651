"""Spools that jobs left behind, and who tells of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from safeguards._cli import doctor
from safeguards._cli.doctor import Finding
from safeguards.cli import main
from safeguards.core.process import this_process
from safeguards.tracking.spool import LINES, PROGRESS, Progress
from safeguards.tracking.standing import mark, what_waits
from safeguards.tracking.syncing import left_below, sync, unreadable
from tests.helpers.killing import begun, ended
from tests.tracking.test_syncing import END, GONE, job, left_behind, loss

NOBODY = 65534
REMEDY = "run this as its owner, or move it away if it is no spool"


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that nobody may look into, with one within, in one that everybody may."""
    with TemporaryDirectory() as around:
        place = Path(around, "closed")
        (place / "within").mkdir(parents=True)
        place.chmod(0)
        Path(around).chmod(0o755)
        yield place
        place.chmod(0o700)


def by_nobody(work: Callable[[], int]) -> int:
    """What the work returns in a process that is not root: root may look into every folder."""

    def without_rights() -> int:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        code = work()
        sys.stdout.flush()
        return code

    return ended(begun(without_rights))


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


def test_what_the_doctor_may_not_read_is_not_healthy(closed: Path) -> None:
    """A folder that is closed, one within it, and a name that no folder can have."""

    def asked(place: Path) -> bool:
        told = doctor.spools("sqlite:////mlflow.db", [place]).text
        return told == f"{place} is no folder that can be read; name one with spools below it"

    places = [closed, closed / "within", closed.with_name(300 * "x")]
    assert by_nobody(lambda: sum(map(asked, places))) == 3


def test_a_default_spool_that_cannot_be_reached_is_one_problem(closed: Path) -> None:
    spool = closed / "safeguards_spool"
    told = (
        f"{spool} is no folder that can be read; jobs of this store keep there what is not sent: run this as their user"
    )
    uri = f"sqlite:///{closed / 'mlflow.db'}"
    assert by_nobody(lambda: doctor.spools(uri) == Finding(healthy=False, text=told)) == 1


def test_a_spool_that_cannot_be_reached_is_not_taken_for_sent(closed: Path) -> None:
    """The gate may run as another user than the job, and would have the word of the store alone."""
    run, spool = closed.parent / "run", closed / "within"
    mark(run, spool)
    told = f"it cannot be told what of it waits to be sent: {spool}: Permission denied"
    assert by_nobody(lambda: what_waits(run) == told) == 1


def test_the_doctor_tells_of_what_it_may_not_read_below_a_spool(closed: Path) -> None:
    told = f"{closed} cannot be read (permission denied); {REMEDY}"
    uri = f"sqlite:///{closed.parent / 'mlflow.db'}"
    assert by_nobody(lambda: doctor.spools(uri, [closed.parent]) == Finding(healthy=False, text=told)) == 1


def test_sync_tells_of_folders_that_it_may_not_read(closed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In silence it would say that all is sent. What lies beside is sent all the same."""
    for place in (closed, closed / "within"):
        assert by_nobody(partial(main, ["sync", str(place)])) == 2
        told = f"safeguards sync: {place} is no folder that can be read; name one with spools below it\n"
        assert capfd.readouterr() == ("", told)
    assert by_nobody(lambda: main(["sync", str(closed.parent), "--quiet"])) == 1
    assert capfd.readouterr() == (f"{closed} cannot be read (permission denied); {REMEDY}\n", "")
    sent = left_behind(closed.parent, loss(0), END)
    size = (sent / LINES).stat().st_size
    Progress(values=size, artifacts=size, complete=True).keep(sent)
    assert by_nobody(lambda: main(["sync", str(closed.parent)])) == 1
    assert capfd.readouterr().out.splitlines() == [
        f"{closed} cannot be read (permission denied); {REMEDY}",
        f"{sent}: nothing to send; complete",
    ]


def test_a_closed_folder_whose_name_is_no_text_is_told_too() -> None:
    """A terminal takes no such name, and sync tells of it before it sends what lies beside."""
    error = PermissionError(13, "Permission denied", os.fsdecode(b"/data/caf\xe9"))
    assert unreadable(error) == f"/data/caf? cannot be read (permission denied); {REMEDY}"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "not an ordinary file"),
        (lambda path: path.symlink_to(Path(__file__)), "too many levels of symbolic links"),
    ],
    ids=["pipe", "link"],
)
def test_lines_that_are_no_ordinary_file_are_told_and_not_waited_for(
    here: Path, make: Callable[[Path], None], why: str
) -> None:
    lines = here / "safeguards_spool" / "job-1" / LINES
    lines.parent.mkdir(parents=True)
    make(lines)
    told = f"{lines} cannot be read ({why}); {REMEDY}"
    assert sync(lines.parent).left == told
    assert doctor.spools(job(here)["uri"]) == Finding(healthy=False, text=told)


def test_progress_that_is_a_pipe_is_none(here: Path) -> None:
    os.mkfifo(left_behind(here, loss(0)) / PROGRESS)
    assert len(left_below(here)) == 1
    assert main(["sync", str(here)]) == 0


def test_the_command_line_tells_the_doctor_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(doctor, "run", lambda **settings: asked.append(settings["spool"]) or 0)
    assert (main(["doctor"]), main(["doctor", "--spool", "a", "--spool", "b"])) == (0, 0)
    assert asked == [[], [Path("a"), Path("b")]]
