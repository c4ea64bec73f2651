"""What of the run's directory goes to the tracking store."""

from __future__ import annotations

import json
from pathlib import Path

from safeguards.core.redact import MARK
from safeguards.tracking.artifacts import stage


def staged(tmp_path: Path) -> dict[str, bytes]:
    stage(tmp_path / "run", tmp_path / "copy", {"known-canary"})
    return {
        str(p.relative_to(tmp_path / "copy")): p.read_bytes() for p in (tmp_path / "copy").rglob("*") if p.is_file()
    }


def test_texts_lose_their_secrets_and_other_files_stay_as_they_are(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "drift").mkdir(parents=True)
    first = {"reason": "rank 1: http://me:canary@h is down, known-canary", "details": {"token": "canary"}, "n": 3}
    (run / "verdicts.jsonl").write_text(json.dumps(first) + '\n{"reason": "password=canary')
    (run / "names.json").write_text('{"a": "gr\\u00f6\\u00dfe"}')
    (run / "drift" / "page.html").write_bytes(b"<script>token = next()</script>\r\n")
    (run / "notes.txt").write_text("password: canary")
    files = staged(tmp_path)
    assert set(files) == {"verdicts.jsonl", "names.json", "drift/page.html", "notes.txt"}
    good, torn = files["verdicts.jsonl"].decode().splitlines()
    assert json.loads(good) == {
        "reason": f"rank 1: http://{MARK}@h is down, {MARK}",
        "details": {"token": MARK},
        "n": 3,
    }
    assert torn == f'{{"reason": "password={MARK}'
    assert json.loads(files["names.json"]) == {"a": "größe"}
    assert files["drift/page.html"] == b"<script>token = next()</script>\r\n"
    assert files["notes.txt"] == f"password: {MARK}".encode()


def test_links_are_left_out(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    outside.mkdir()
    (outside / "private.txt").write_text("canary")
    (run / "link.txt").symlink_to(outside / "private.txt")
    (run / "folder").symlink_to(outside)
    (run / "kept.txt").write_text("x")
    assert staged(tmp_path) == {"kept.txt": b"x"}
