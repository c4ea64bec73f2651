"""A card that cannot be written leaves a reason, and is tried again once all is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safeguards.core.errors import EvidenceError
from safeguards.retraining import Job, carded, carded_again

ENDED = {"ended": "promoted", "version": 2}


def job(folder: Path) -> Job:
    return Job(folder / "job", key={"model": "risk"})


def written(folder: Path) -> Mapping[str, str]:
    (folder / "card.html").write_text("a card")
    return {"card": "card.html"}


def unwritten(_: Path) -> Mapping[str, str]:
    raise LookupError("there is no run 'x'")


def refused(_: Path) -> Mapping[str, str]:
    raise EvidenceError("the record was changed")


def test_it_is_found_where_it_was_written(tmp_path: Path) -> None:
    found = carded(job(tmp_path), written)
    assert found == {"card": str(tmp_path / "job" / "01-card" / "card.html")}
    assert carded(job(tmp_path), unwritten) == found  # done is done


def test_it_is_not_written_twice(tmp_path: Path) -> None:
    one = job(tmp_path)
    ended = {**ENDED, **carded(one, written)}
    assert carded_again(one, unwritten, ended) == ended
    assert [path.name for path in one.folder.iterdir()] == ["01-card"]


def test_a_reason_of_our_own_needs_no_kind(tmp_path: Path) -> None:
    assert carded(job(tmp_path / "a"), unwritten) == {"no_card": "LookupError: there is no run 'x'"}
    assert carded(job(tmp_path / "b"), refused) == {"no_card": "the record was changed"}


def test_the_second_try_is_done_only_when_it_succeeds(tmp_path: Path) -> None:
    one = job(tmp_path)
    ended = {**ENDED, **carded(one, unwritten)}
    assert carded_again(one, refused, ended) == {**ENDED, "no_card": "the record was changed"}
    again = job(tmp_path)
    assert carded(again, written) == {"no_card": "LookupError: there is no run 'x'"}
    place = str(tmp_path / "job" / "02-card-again" / "card.html")
    assert carded_again(again, written, ended) == {**ended, "card": place}
