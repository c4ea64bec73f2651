"""Files of a folder, and those that are written whole."""

from pathlib import Path

import pytest

from safeguards.core.files import files_below, write_whole


def test_every_ordinary_file_by_its_path_and_no_link(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "b").mkdir(parents=True)
    outside.mkdir()
    for file in (inside / "c", inside / "b" / "d", inside / "a", outside / "secret"):
        file.write_text("x")
    (inside / "link").symlink_to(outside / "secret")
    (inside / "way").symlink_to(outside, target_is_directory=True)
    assert [path.relative_to(inside).as_posix() for path in files_below(inside)] == ["a", "b/d", "c"]


def test_a_crash_leaves_the_earlier_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "one", b"first")

    def fail(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr("safeguards.core.files.os.replace", fail)
    with pytest.raises(OSError, match="full"):
        write_whole(tmp_path / "one", b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("one", b"first")]
