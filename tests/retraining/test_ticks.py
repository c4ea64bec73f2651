"""What a schedule remembers: plain numbers, one claim for each time, and nothing that runs."""

from __future__ import annotations

import pickle
import sqlite3
from pathlib import Path

import pytest

from safeguards.core.errors import ConfigurationError, SafeguardError
from safeguards.retraining import Ticks


class Planted:
    """Unpickled it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.place,)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'deep' / 'schedule.db'}"


def test_what_is_due_outlives_the_scheduler(address: str) -> None:
    first = Ticks(address)
    first.know("audit", "0 5 * * *")
    assert first.due("audit") is None
    first.put_off("audit", 1000.5)
    later = Ticks(address)
    later.know("audit", "0 5 * * *")
    assert later.due("audit") == 1000.5
    later.know("audit", "0 6 * * *")  # another time of day: what was due before is not
    assert later.due("audit") is None
    assert later.due("unknown") is None


def test_each_time_is_claimed_once(address: str) -> None:
    one, other = Ticks(address), Ticks(address)
    one.know("audit", "x")
    assert [one.claim("audit", 10.0), other.claim("audit", 10.0), one.claim("audit", 9.0)] == [True, False, False]
    assert one.interrupted("audit")
    one.end("audit", 7)
    assert (other.interrupted("audit"), other.code("audit")) == (False, 7)
    assert other.claim("audit", 11.0)
    other.end("audit")
    assert one.code("audit") is None
    assert not one.claim("unknown", 1.0)


def test_what_is_called_for_is_due_in_the_same_statement(address: str) -> None:
    ticks = Ticks(address)
    for job in ("audit", "retrain"):
        ticks.know(job, "x")
        ticks.put_off(job, 3.9e9)
    ticks.claim("audit", 10.0)
    ticks.end("audit", 7, then="retrain")
    assert (ticks.code("audit"), ticks.due("audit"), ticks.interrupted("audit")) == (7, 3.9e9, False)
    assert (ticks.due("retrain") or 0.0) < 3.9e9
    assert (ticks.code("retrain"), ticks.is_claimed("audit", 10.0), ticks.is_claimed("audit", 11.0)) == (
        None,
        True,
        False,
    )


@pytest.mark.parametrize("planted", ["zzz", b"zzz", 3.9e9, float("inf")])
def test_a_claim_from_beyond_now_holds_nothing_up(address: str, planted: object) -> None:
    ticks = Ticks(address)
    ticks.know("audit", "x")
    with sqlite3.connect(address.removeprefix("sqlite:///")) as store:
        store.execute("UPDATE safeguards_schedule SET claimed = ?", (planted,))
    assert [ticks.claim("audit", 10.0), ticks.claim("audit", 10.0)] == [True, False]


@pytest.mark.parametrize("planted", ["later", -1.0, 1e18, float("inf"), "pickle"])
def test_what_is_no_moment_is_passed_over_and_nothing_of_it_runs(address: str, planted: object, tmp_path: Path) -> None:
    ticks = Ticks(address)
    ticks.know("audit", "x")
    value = pickle.dumps(Planted(tmp_path / "ran")) if planted == "pickle" else planted
    with sqlite3.connect(address.removeprefix("sqlite:///")) as store:
        store.execute("UPDATE safeguards_schedule SET due = ?, begun = ?, code = ?", (value, value, "no"))
    assert (ticks.due("audit"), ticks.interrupted("audit"), ticks.code("audit")) == (None, False, None)
    assert not (tmp_path / "ran").exists()


def test_an_address_that_opens_nothing_is_told_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database, " * 100)
    for wrong in (
        "nowhere://x:hunter2@host/db",
        f"sqlite:///{tmp_path / 'file'}",
        f"sqlite:///{tmp_path / 'file' / 'x'}",
    ):
        with pytest.raises(ConfigurationError, match="give an address such as") as told:
            Ticks(wrong)
        assert "hunter2" not in str(told.value)
        assert len(str(told.value).splitlines()) == 1


def test_a_store_cut_at_any_length_is_told_in_one_line(tmp_path: Path) -> None:
    """As SQLite has it, or as an empty one: what is due is then known from the configuration."""
    path = tmp_path / "schedule.db"
    Ticks(f"sqlite:///{path}").know("audit", "0 5 * * *")
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        try:
            ticks = Ticks(f"sqlite:///{path}")
            ticks.know("audit", "0 5 * * *")
            assert ticks.due("audit") is None
        except SafeguardError as error:
            assert "\n" not in str(error)  # noqa: PT017 - at many lengths


def test_what_is_claimed_or_passed_over_is_due_next_unless_it_was_called_for_later(address: str) -> None:
    ticks = Ticks(address)
    ticks.know("audit", "x")
    ticks.put_off("audit", 10.0)
    assert ticks.claim("audit", 10.0, following=20.0)
    assert ticks.due("audit") == 20.0
    ticks.pass_over("audit", 20.0, following=30.0)
    assert ticks.due("audit") == 30.0
    ticks.pass_over("audit", 25.0, following=40.0)
    assert ticks.claim("audit", 26.0, following=40.0)
    assert ticks.due("audit") == 30.0
