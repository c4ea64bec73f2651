"""What the spool of a run knows of what the store lacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from safeguards.tracking.entities import Point
from safeguards.tracking.spool import LINES, Progress, Spool
from safeguards.tracking.standing import MARKER, mark, what_waits
from safeguards.tracking.syncing import left_below, sync
from tests.tracking.test_syncing import GONE, left_behind, loss


def test_it_is_told_what_waits_what_is_lost_and_what_nobody_here_can_tell(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", {"id": "job"})
    spool.put([Point("loss", 0.5, 2000, 0)])
    assert what_waits(tmp_path) is None
    (tmp_path / MARKER).write_text(json.dumps({"spool": str(spool.folder)}))
    assert what_waits(tmp_path) == f"some of it waits to be sent: safeguards sync {spool.folder}"
    end = (spool.folder / LINES).stat().st_size
    Progress(values=end, artifacts=end, complete=True).keep(spool.folder)
    assert what_waits(tmp_path) is None
    spool.append("end", status="FINISHED", at=5000)
    assert what_waits(tmp_path) is not None, "complete, and more came"
    Progress(values=end, artifacts=end, complete=True, lost=2).keep(spool.folder)
    assert what_waits(tmp_path) == "2 artifacts were lost before they could be sent"
    shutil.rmtree(spool.folder)
    assert what_waits(tmp_path) is None


def sent(spool: Path, **more: Any) -> None:
    end = (spool / LINES).stat().st_size
    Progress(values=end, artifacts=end, **more).keep(spool)


def test_a_run_knows_the_spools_of_all_its_jobs_and_trackers(tmp_path: Path) -> None:
    """One that was killed is asked for what it has: that the run was ended is up to those that followed."""
    run = tmp_path / "run"
    first, second = (left_behind(tmp_path, loss(0), name=name) for name in ("first", "second"))
    for one in (first, second, first):
        mark(run, one)
    assert what_waits(run) == f"some of it waits to be sent: safeguards sync {second}"
    sent(second, complete=True)
    assert what_waits(run) == f"some of it waits to be sent: safeguards sync {first}"
    sent(first)
    assert what_waits(run) is None
    sent(second)
    assert what_waits(run) == f"some of it waits to be sent: safeguards sync {second}"


def test_a_job_of_another_host_waits_until_it_is_sent(here: Path) -> None:
    """As of a container that is gone: nobody ever tells its end, and its run is left open."""
    spool = left_behind(here, loss(0), owner={**GONE, "host": "elsewhere"})
    mark(here / "run", spool)
    assert what_waits(here / "run") == f"some of it waits to be sent: safeguards sync {spool}"
    assert sync(spool).open
    assert what_waits(here / "run") is None


def test_a_spool_that_cannot_be_read_is_not_taken_for_sent(tmp_path: Path) -> None:
    (tmp_path / "spool" / LINES).mkdir(parents=True)
    mark(tmp_path, tmp_path / "spool")
    told = f"it cannot be told what of it waits to be sent: {tmp_path / 'spool'}: not an ordinary file"
    assert what_waits(tmp_path) == told


def test_a_disk_that_is_full_takes_no_marker_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = left_behind(tmp_path, loss(0))
    mark(tmp_path, spool)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        mark(tmp_path, tmp_path / "other")
    assert what_waits(tmp_path) == f"some of it waits to be sent: safeguards sync {spool}"


HOSTILE = [
    "",
    "[]",
    "{}",
    '{"spool": 3}',
    "\xff",
    json.dumps({"spool": 5000 * "x"}),
    '{"spool": "\\u0000"}',
    '{"spool": "a", "earlier": 3}',
    100_000 * "[",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_a_marker_that_is_none_tells_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(text)
    assert what_waits(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        100_000 * "[",
        '{"values": "x"}',
        '{"values": -5}',
        '{"values": 1e400}',
        f'{{"artifacts": {10**30}}}',
        '{"lost": "\\u001b"}',
    ],
)
def test_progress_that_somebody_else_wrote_is_none(text: str, tmp_path: Path) -> None:
    spool = left_behind(tmp_path, loss(0))
    mark(tmp_path, spool)
    (spool / "progress.json").write_text(text)
    assert Progress.of(spool) == Progress()
    assert what_waits(tmp_path) == f"some of it waits to be sent: safeguards sync {spool}"
    assert left_below(tmp_path) == [spool]
