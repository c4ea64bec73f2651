from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from safeguards.core.errors import DataRefused
from safeguards.retraining import MANIFEST, Manifest, deliver, take, taken

ROWS = 400
FRAME = pd.DataFrame({"age": range(ROWS), "city": ["Bern", "Rome"] * (ROWS // 2)})


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    FRAME.to_csv(folder / "a.csv", index=False)
    FRAME.to_parquet(folder / "b.parquet")
    deliver(folder)
    return folder


def refusal(folder: Path, into: Path) -> str:
    with pytest.raises(DataRefused) as caught:
        take(folder, into)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_a_whole_delivery_is_taken_byte_for_byte(delivery: Path, tmp_path: Path) -> None:
    found = take(delivery, tmp_path / "own")
    assert [path.name for path in found.paths] == ["a.csv", "b.parquet"]
    assert [path.read_bytes() for path in found.paths] == [(delivery / path.name).read_bytes() for path in found.paths]
    assert found.manifest.rows == 2 * ROWS
    assert taken(tmp_path / "own") == found


def test_a_disk_that_is_full_is_no_fault_of_the_data(delivery: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "b.parquet").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        take(delivery, tmp_path / "own")


def test_the_fingerprint_is_that_of_the_content(delivery: Path, tmp_path: Path) -> None:
    first = Manifest.read(delivery).fingerprint
    os.utime(delivery / "a.csv", (0, 0))
    assert deliver(delivery).fingerprint == first
    FRAME.assign(age=0).to_csv(delivery / "a.csv", index=False)
    assert deliver(delivery).fingerprint != first


@pytest.mark.parametrize("name", ["a.csv", "b.parquet", MANIFEST])
def test_a_file_cut_at_any_length_is_refused_in_one_line(delivery: Path, tmp_path: Path, name: str) -> None:
    whole = (delivery / name).read_bytes()
    lengths = {
        0,
        1,
        2,
        len(whole) // 2,
        len(whole) - 1,
        len(whole) - 2,
        *range(7, len(whole), max(1, len(whole) // 60)),
    }
    if name == MANIFEST:
        lengths -= {len(whole) - 1}  # its last line feed says nothing
    for length in sorted(lengths):
        (delivery / name).write_bytes(whole[:length])
        said = refusal(delivery, tmp_path / "own")
        assert name in said
        assert "half-written" in said or name == MANIFEST  # the remedy is another than for a file that was changed
    (delivery / name).write_bytes(whole)
    assert take(delivery, tmp_path / "own").manifest.rows == 2 * ROWS


def test_a_csv_cut_before_the_manifest_was_made_tells_by_its_torn_row(delivery: Path) -> None:
    whole = (delivery / "a.csv").read_bytes()
    (delivery / "a.csv").write_bytes(whole[: whole.rindex(b",")])
    with pytest.raises(DataRefused, match=r"1 rows of a.csv have a wrong number of fields"):
        deliver(delivery)


def test_a_file_of_the_right_length_with_another_byte_is_refused(delivery: Path, tmp_path: Path) -> None:
    content = (delivery / "a.csv").read_bytes()
    (delivery / "a.csv").write_bytes(content.replace(b"Bern", b"Bonn", 1))
    assert "a.csv: its digest is not the one" in refusal(delivery, tmp_path / "own")


def test_rows_are_counted_and_not_believed(delivery: Path, tmp_path: Path) -> None:
    data = json.loads((delivery / MANIFEST).read_text())
    data["files"][0]["rows"] += 1
    (delivery / MANIFEST).write_text(json.dumps(data))
    assert f"a.csv: {ROWS} rows where {MANIFEST} says {ROWS + 1}" in refusal(delivery, tmp_path / "own")


def test_without_a_manifest_nothing_is_taken(delivery: Path, tmp_path: Path) -> None:
    (delivery / MANIFEST).unlink()
    assert "it is written last, so the delivery is not whole" in refusal(delivery, tmp_path / "own")
    assert "is written last" in refusal(tmp_path / "nowhere", tmp_path / "own")


def test_a_file_that_the_manifest_does_not_name_is_another_delivery(delivery: Path, tmp_path: Path) -> None:
    (delivery / "_SUCCESS").touch()
    (delivery / "c.csv").write_text("age,city\n")
    assert "c.csv: manifest.json does not name it" in refusal(delivery, tmp_path / "own")


def test_a_named_file_that_is_gone_is_told(delivery: Path, tmp_path: Path) -> None:
    (delivery / "a.csv").unlink()
    assert "a.csv: No such file or directory, and manifest.json names it" in refusal(delivery, tmp_path / "own")


def test_a_link_is_no_file_of_the_delivery(delivery: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_bytes((delivery / "a.csv").read_bytes())
    (delivery / "a.csv").unlink()
    (delivery / "a.csv").symlink_to(tmp_path / "elsewhere.csv")
    assert "a.csv" in refusal(delivery, tmp_path / "own")


@pytest.mark.parametrize("name", ["a.csv", MANIFEST])
def test_a_pipe_is_no_file_of_the_delivery_and_nobody_waits_for_it(delivery: Path, tmp_path: Path, name: str) -> None:
    (delivery / name).unlink()
    os.mkfifo(delivery / name)
    code = "import sys, pathlib; from safeguards.retraining import take; take(*map(pathlib.Path, sys.argv[1:]))"
    asked = [sys.executable, "-c", code, str(delivery), str(tmp_path / "own")]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert f"{name}: not an ordinary file" in done.stderr.splitlines()[-1]


def test_a_file_that_somebody_writes_to_is_copied_no_further_than_the_manifest_says(
    delivery: Path, tmp_path: Path
) -> None:
    with (delivery / "a.csv").open("ab") as growing:
        growing.truncate(64 << 20)
    assert "a.csv: more bytes where" in refusal(delivery, tmp_path / "own")
    assert (tmp_path / "own" / "a.csv").stat().st_size < 1 << 20


SOUND = {"name": "a.csv", "size": 1, "rows": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "../a.csv"}, "no plain name"),
        ({"name": "/etc/a.csv"}, "no plain name"),
        ({"name": "a\\b.csv"}, "no plain name"),
        ({"name": "model.pkl"}, "no plain name"),
        ({"name": 3}, "is no manifest"),
        ({"rows": "1"}, "is no manifest"),
        ({"rows": -1}, "is no manifest"),
        ({"size": True}, "is no manifest"),
        ({"sha256": "0" * 63}, "is no manifest"),
        ({"sha256": "Z" * 64}, "is no manifest"),
    ],
)
def test_a_manifest_that_asks_for_something_else_is_refused(tmp_path: Path, entry: dict, said: str) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"files": [{**SOUND, **entry}]}))
    assert said in refusal(tmp_path, tmp_path / "own")
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("content", ["[]", "{}", '{"files": []}', '{"files": 3}', '{"files": [[]]}', "nonsense"])
def test_a_manifest_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    refusal(tmp_path, tmp_path / "own")


def test_a_manifest_that_names_a_file_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"files": [SOUND, SOUND]}))
    assert "names a file twice; write it anew by deliver" in refusal(tmp_path, tmp_path / "own")


def test_a_manifest_beyond_any_size_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b"[" * ((1 << 20) + 1))
    assert "larger than" in refusal(tmp_path, tmp_path / "own")


def test_what_was_taken_and_changed_since_is_refused(delivery: Path, tmp_path: Path) -> None:
    take(delivery, tmp_path / "own")
    (tmp_path / "own" / "a.csv").write_text("age,city\n")
    with pytest.raises(DataRefused, match="has changed since it was taken; put back what was delivered"):
        taken(tmp_path / "own")


def test_an_empty_folder_has_nothing_to_deliver(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"there is no \.parquet"):
        deliver(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "b.parquet"])
def test_a_file_without_rows_is_refused_by_who_delivers_and_by_who_takes(
    delivery: Path, tmp_path: Path, name: str
) -> None:
    path = delivery / name
    FRAME[:0].to_csv(path, index=False) if name == "a.csv" else FRAME[:0].to_parquet(path)
    says = f"{name}: has columns and no rows; write them, or leave the file out"
    with pytest.raises(DataRefused, match=says):
        deliver(delivery)
    found = json.loads((delivery / MANIFEST).read_text())
    described = {"size": path.stat().st_size, "rows": 0, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    files = [one | described if one["name"] == name else one for one in found["files"]]
    (delivery / MANIFEST).write_text(json.dumps({"files": files}))
    assert says in refusal(delivery, tmp_path / "own")
