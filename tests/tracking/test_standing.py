"""What the spool of a run knows of what the store lacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from safeguards.tracking.entities import Point
from safeguards.tracking.spool import LINES, Progress, Spool
from safeguards.tracking.standing import MARKER, what_waits


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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"spool": 3}', "\xff"])
def test_a_marker_that_is_none_tells_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(text)
    assert what_waits(tmp_path) is None
