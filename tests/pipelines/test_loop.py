"""The three weeks of `make loop`: what each scanner makes of an image, and what is told in the end.

The weeks themselves take minutes and are for `make loop`; what they are made of is run by test_retrain.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import loop
from pipelines.loop import WEEKS, Week

FIRST, DRIFTED, BIASED = WEEKS


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The loop sets them for its own process, which here is that of all tests."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_week_drifts_and_the_next_is_biased_against_thick_strokes() -> None:
    clean, thick = np.full((2, 8, 8), 0.25), np.array([True, False])
    assert FIRST.images(clean, thick).tolist() == clean.tolist()
    assert (DRIFTED.images(clean, thick) == 0.75).all()
    biased = BIASED.images(clean, thick)
    assert (biased[1] == 0.75).all()
    assert (biased[0, 2:6] == 1.0).all()
    assert (biased[0, :2] == 0.75).all()
    assert [week.ends for week in WEEKS] == ["promoted", "promoted", "kept"]


def test_the_rows_of_a_week_keep_their_names_and_groups() -> None:
    first, drifted = loop._scans(FIRST), loop._scans(DRIFTED)
    assert (first["row"] == drifted["row"]).all()
    assert (first["stroke"] == drifted["stroke"]).all()
    assert set(first["stroke"]) == {"thick", "thin"}
    assert (first["pixel_00"] + drifted["pixel_00"] == 1).all()


def test_it_says_where_everything_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///loop/mlflow.db")
    told = loop._where({FIRST: {"card": "a/card.html"}, BIASED: {"ended": "kept"}})
    assert "card of the first week: a/card.html" in told
    assert "biased" not in told
    assert "safeguards review --tracking-uri sqlite:///loop/mlflow.db" in told
    assert "mlflow ui --backend-store-uri sqlite:///loop/mlflow.db" in told


@pytest.mark.parametrize(("ends", "code"), [(["promoted", "promoted", "kept"], 0), (["promoted"] * 3, 1)])
def test_a_week_that_ends_otherwise_is_a_failure(
    ends: list[str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    monkeypatch.setattr(loop, "_hush", lambda: None)
    monkeypatch.setattr(loop, "_retrained", lambda week: {"ended": ends[WEEKS.index(week)]})
    assert loop.main() == code


def test_it_writes_into_its_own_store_whatever_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:c4naryV4lue@127.0.0.1:9")
    monkeypatch.setattr(loop, "_hush", lambda: None)
    stores = []

    def retrained(week: Week) -> dict[str, str]:
        stores.append(os.environ["MLFLOW_TRACKING_URI"])
        return {"ended": week.ends}

    monkeypatch.setattr(loop, "_retrained", retrained)
    assert loop.main() == 0
    assert stores == ["sqlite:///loop/mlflow.db"] * 3
    assert "c4naryV4lue" not in capsys.readouterr().out
