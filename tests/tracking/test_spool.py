"""What is frozen on disk: whole lines, whatever dies or fills up meanwhile."""

from __future__ import annotations

import errno
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.tracking import spool as room
from safeguards.tracking.entities import Parameter, Point, Tag
from safeguards.tracking.spool import ARTIFACTS, LINES, Progress, Spool, entities_of, entry_of, read

JOB = {"id": "job-1", "uri": "sqlite:///x.db"}
VALUES = [
    Point("loss", 0.1 + 0.2, 1700000000123, 3),
    Point("nan", math.nan, 1, None),
    Parameter("größe", "1"),
    Tag("nan", "x"),
]


def kinds(folder: Path, start: int = 0) -> list[str]:
    return [entry.kind for entry in read(folder, start)]


def test_what_was_put_comes_back_as_it_was(tmp_path: Path) -> None:
    Spool(tmp_path / "s", JOB).put(VALUES)
    job, values = read(tmp_path / "s")
    assert (job.kind, job.data["id"], job.data["pid"]) == ("job", "job-1", os.getpid())
    assert str(entities_of(values)) == str(VALUES)
    assert values.end == (tmp_path / "s" / LINES).stat().st_size
    assert kinds(tmp_path / "s", job.end or 0) == ["values"]


@given(st.floats(allow_infinity=False), st.text(max_size=20), st.integers(0, 2**40), st.none() | st.integers(0, 2**40))
def test_every_point_survives_the_spool(value: float, name: str, timestamp: int, step: int | None) -> None:
    line = room.json.dumps({"kind": "values", "points": [room._plain(Point(name, value, timestamp, step))]}).encode()
    [point] = entities_of(entry_of(line, None))
    assert (point.key, point.timestamp, point.step) == (name, timestamp, step)
    assert point.value == value or math.isnan(value)


def test_a_torn_last_line_is_no_entry_and_closed_by_the_next_process(tmp_path: Path) -> None:
    Spool(tmp_path, JOB).put(VALUES)
    with (tmp_path / LINES).open("ab") as file:
        file.write(b'{"kind": "values", "poi')
    assert kinds(tmp_path) == ["job", "values"]
    Spool(tmp_path, JOB).put(VALUES)
    assert kinds(tmp_path) == ["job", "values", "damaged", "process", "values"]


def test_every_cut_leaves_the_whole_lines_before_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, JOB)
    for step in range(3):
        spool.put([Point("x", float(step), 1, step)])
    whole = (tmp_path / LINES).read_bytes()
    ends = [entry.end or 0 for entry in read(tmp_path)]
    for length in range(len(whole) + 1):
        (tmp_path / LINES).write_bytes(whole[:length])
        assert len(kinds(tmp_path)) == sum(end <= length for end in ends)


HOSTILE = [b"[]", b"{}", b"3", b"\xff\xfe", b'{"kind": "values", "points": [["x", 1e999, 1, 1]]}', b"[" * 100000]


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: str(line[:12]))
def test_a_line_of_somebody_else_is_none_of_ours(line: bytes) -> None:
    entry = entry_of(line, 1)
    if entry.kind == "values":
        with pytest.raises(ValueError, match="no point is infinite"):
            entities_of(entry)
    else:
        assert entry.kind == "damaged"


class Full:
    """A disk that takes ``room`` more bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room_left: int) -> None:
        self.left, self._write = room_left, os.write
        monkeypatch.setattr(room.os, "write", self.write)

    def write(self, file: int, content: Any) -> int:
        if self.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(file, bytes(content)[: self.left])
        self.left -= taken
        return taken


def test_a_full_disk_keeps_whole_lines_and_memory_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, JOB)
    spool.put(VALUES)
    whole, disk = (tmp_path / LINES).read_bytes(), Full(monkeypatch, 10)
    for step in range(3):
        spool.put([Point("x", 1.0, 1, step)])
    assert (tmp_path / LINES).read_bytes() == whole
    assert [entities_of(entry_of(line, None))[0].step for line in spool.unwritten()] == [0, 1, 2]
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"the spool {tmp_path} takes no more, what follows is sent from memory: OSError:")
    disk.left = 10**6
    spool.put([Point("x", 1.0, 1, 3)])
    assert [e.step for entry in list(read(tmp_path))[2:] for e in entities_of(entry)] == [0, 1, 2, 3]
    assert spool.unwritten() == []


def test_what_was_sent_from_memory_is_forgotten_and_the_rest_is_not(tmp_path: Path, monkeypatch: Any) -> None:
    spool = Spool(tmp_path, JOB)
    Full(monkeypatch, 0)
    spool.put([Point("x", 1.0, 1, 0)])
    sent = spool.unwritten()
    spool.put([Point("x", 1.0, 1, 0)])
    spool.forget(sent)
    assert len(spool.unwritten()) == 1


def test_beyond_the_capacity_the_oldest_are_lost_and_counted(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(room, "CAPACITY", 3)
    spool = Spool(tmp_path, JOB)
    Full(monkeypatch, 0)
    for step in range(5):
        spool.put([Point("x", 1.0, 1, step)])
    assert spool.lost == 2
    assert [entities_of(entry_of(line, None))[0].step for line in spool.unwritten()] == [2, 3, 4]


def test_a_place_that_cannot_be_made_costs_memory_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "below", JOB)
    spool.put(VALUES)
    spool.put(VALUES)
    assert len(spool.unwritten()) == 2
    assert len(caplog.records) == 1


def test_artifacts_are_whole_before_their_line_is(tmp_path: Path) -> None:
    spool = Spool(tmp_path, JOB)

    def broken(place: Path) -> None:
        (place / "half").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        spool.freeze(broken, "to")
    assert kinds(tmp_path) == []
    assert list((tmp_path / ARTIFACTS).iterdir()) == []
    spool.freeze(lambda place: (place / "a.txt").write_text("x"), "to")
    *_, entry = read(tmp_path)
    assert (entry.kind, entry.data["to"]) == ("artifacts", "to")
    assert (tmp_path / ARTIFACTS / entry.data["copy"] / "a.txt").read_text() == "x"


def test_progress_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    known = Progress(run="r", values=10, artifacts=5, ended=False, lost=1, repeated=[2, 3])
    known.keep(tmp_path)
    assert Progress.of(tmp_path) == known
    known.keep(tmp_path / "missing")
    for broken in ("", "{", "[]", '{"other": 1}'):
        (tmp_path / "progress.json").write_text(broken)
        assert Progress.of(tmp_path) == Progress()


KILLED = """
import os, sys
from pathlib import Path
from safeguards.tracking.entities import Point
from safeguards.tracking.spool import Spool
spool = Spool(Path(sys.argv[1]), {"id": "job"})
for step in range(int(sys.argv[2])):
    spool.put([Point("x", 1.0, 1, step)])
os.kill(os.getpid(), 9)
"""


def test_a_process_that_is_killed_has_left_every_line_on_disk(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "50"], timeout=240, check=False)
    assert done.returncode == -9
    assert [p.step for entry in list(read(tmp_path))[1:] for p in entities_of(entry)] == list(range(50))
    shutil.rmtree(tmp_path)
