"""Row counts: told in every verdict, deciding where a rule says so, and how many rows a column needs to be stable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset

from safeguards import DriftReport, Limit, Outcome, Verdict
from safeguards.core.errors import ConfigurationError
from safeguards.drift.counts import check_ratio, rows_needed
from safeguards.drift.measures import Effect
from tests.drift.test_guard import FIELDS, LIMITS, Net, fitted, last, rows, standings, trainer

RNG = np.random.default_rng


def frame(n: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(RNG(seed).normal(size=(n, 3)), columns=["a", "b", "c"])


def judged(folder: Path, reference: pd.DataFrame, current: pd.DataFrame, **options: Any) -> Verdict:
    asked = {"limits": LIMITS, "report": False} | options
    run = trainer(folder, DriftReport(reference=reference, current=current, **asked))
    run.validate(Net(4), DataLoader(rows(0, n=8), batch_size=8), verbose=False)
    return last(run)


def told(verdict: Verdict) -> str:
    return str(verdict.details["findings"]["row_count"])


def test_rows_that_were_lost_are_told_and_decide_nothing_without_a_rule(tmp_path: Path) -> None:
    found = judged(tmp_path, frame(5000, 0), frame(60, 1))
    assert (found.outcome, found.value) == (Outcome.INCONCLUSIVE, 0.0)
    assert told(found).startswith("60 current rows, 0.012 for each of 5000 of the reference; at least ")
    assert told(found).endswith(" are needed to exclude a distance of 0.1, 60 are compared")
    assert told(found) in found.reason
    assert found.details["rows"] == {"reference": 5000, "current": 60}


def test_where_rows_suffice_they_are_told_in_the_details_alone(tmp_path: Path) -> None:
    found = judged(tmp_path, frame(5000, 0), frame(4000, 1))
    assert found.outcome is Outcome.PASS
    assert told(found) == "4000 current rows, 0.8 for each of 5000 of the reference"
    assert "current rows" not in found.reason


@pytest.mark.parametrize(("n", "ratio"), [(60, (0.5, 2.0)), (4000, (0.0, 0.5)), (10, (0.5, 2.0))])
def test_a_rule_that_is_broken_breaks_every_column(tmp_path: Path, n: int, ratio: tuple[float, float]) -> None:
    found = judged(tmp_path, frame(5000, 0), frame(n, 1), row_ratio=ratio, limits={"drifted_share": Limit(at_most=0.9)})
    assert (found.outcome, found.value, found.interval) == (Outcome.FAIL, 1.0, (1.0, 1.0))
    assert told(found).endswith(f"outside row_ratio, {ratio[0]:g} to {ratio[1]:g}")
    assert told(found) in found.reason
    assert all(next(iter(column["findings"])) == "row_count" for column in found.details["columns"].values())


@pytest.mark.parametrize("ratio", [(0.8, 0.8), (0.0, float("inf"))])
def test_a_rule_that_holds_changes_nothing(tmp_path: Path, ratio: tuple[float, float]) -> None:
    plain = judged(tmp_path, frame(5000, 0), frame(4000, 1))
    found = judged(tmp_path, frame(5000, 0), frame(4000, 1), row_ratio=ratio)
    assert (found.outcome, found.interval, standings(found)) == (plain.outcome, plain.interval, standings(plain))
    assert told(found) == told(plain)


def test_of_batches_all_rows_count_and_not_the_sample(tmp_path: Path) -> None:
    guard = DriftReport(reference="train", fields=FIELDS, limits=LIMITS, report=False, sample=50, row_ratio=(0.2, 0.3))
    found = fitted(tmp_path, guard, rows(0, n=400), rows(1, n=100), Net(4))
    assert (found.details["rows"], found.n) == ({"reference": 400, "current": 100}, 50)
    assert found.outcome is not Outcome.FAIL
    lost = fitted(tmp_path, guard, rows(0, n=400), rows(1, n=60), Net(4))
    assert (lost.details["rows"]["current"], lost.outcome) == (60, Outcome.FAIL)


@settings(max_examples=80, deadline=None)
@given(
    reference=st.integers(30, 20_000),
    tests=st.integers(1, 200),
    alpha=st.floats(1e-4, 0.2),
    min_effect=st.floats(0.02, 0.5),
)
def test_one_row_less_than_needed_excludes_nothing(reference: int, tests: int, alpha: float, min_effect: float) -> None:
    def excluded(m: int) -> bool:
        effect = Effect(of="values", distance=0.0, p=1.0, n=reference, m=m)
        return effect.ceiling(alpha / tests) < min_effect

    needed = rows_needed(reference, tests, alpha=alpha, min_effect=min_effect)
    if needed is None:
        assert not excluded(10**9)
    else:
        assert excluded(needed + 1)
        assert needed == 1 or not excluded(needed - 1)


@pytest.mark.parametrize("ratio", [0.5, (0.5,), (2.0, 0.5), (-1, 2), ("a", 2), (True, 2), (float("nan"), 1)])
def test_a_rule_that_is_none_is_refused(ratio: Any) -> None:
    with pytest.raises(ConfigurationError, match="least and the most current rows per reference row"):
        check_ratio(ratio)


def test_a_rule_from_yaml_is_a_list() -> None:
    assert check_ratio([0, 2]) == (0.0, 2.0)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(rows(1, n=4000))


def capped(**options: Any) -> DriftReport:
    asked: dict[str, Any] = {"reference": "train", "fields": FIELDS, "limits": LIMITS, "report": False}
    return DriftReport(**asked | {"row_ratio": (0.9, 1.1), "max_share_of_fit": 0.01} | options)


@pytest.mark.parametrize("validation", [rows(1, n=400), Stream()], ids=["set", "stream"])
def test_rows_that_a_cap_leaves_out_are_not_lost(tmp_path: Path, validation: Any) -> None:
    found = fitted(tmp_path, capped(), rows(0, n=400), validation, Net(4))
    n = found.details["rows"]["current"]
    assert (0 < n < 360, found.outcome) == (True, Outcome.INCONCLUSIVE)
    assert told(found).startswith(f"{n} current rows that max_share_of_fit left, 400 of the reference; ")
    assert "row_ratio is not applied: max_share_of_fit left out rows" in found.reason
    assert found.details["row_ratio"] is None


def test_without_a_rule_there_is_none_that_is_not_applied(tmp_path: Path) -> None:
    found = fitted(tmp_path, capped(row_ratio=None), rows(0, n=400), rows(1, n=400), Net(4))
    assert "current rows that max_share_of_fit left" in found.reason
    assert "row_ratio" not in found.reason


def test_under_a_cap_that_left_out_no_rows_a_rule_holds(tmp_path: Path) -> None:
    found = fitted(tmp_path, capped(), rows(0, n=400), rows(1, n=60), Net(4))
    assert (found.outcome, found.details["row_ratio"]) == (Outcome.FAIL, [0.9, 1.1])
    assert told(found) == "60 current rows, 0.15 for each of 400 of the reference: outside row_ratio, 0.9 to 1.1"
    job = trainer(tmp_path, capped(reference=frame(400, 0), columns=["a", "b", "c"]))
    job.validate(Net(3), DataLoader(rows(1, n=200, shape=(3,)), batch_size=100), verbose=False)
    assert (last(job).outcome, last(job).details["rows"]["current"]) == (Outcome.FAIL, 200)


def test_the_rows_of_a_table_are_thinned_by_no_cap(tmp_path: Path) -> None:
    found = fitted(tmp_path, capped(reference=frame(400, 0), current=frame(200, 1)), rows(0), rows(1), Net(4))
    assert found.outcome is Outcome.FAIL
    assert told(found).startswith("200 current rows, 0.5 for each of 400 of the reference: outside row_ratio")
