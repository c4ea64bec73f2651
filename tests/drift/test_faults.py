"""What the plain stack gets wrong without a word, one row each: the finding that must be there, and where it stands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from safeguards.core.limit import Limit, decide
from safeguards.core.verdict import Measurement, Outcome
from safeguards.drift.findings import Comparison
from safeguards.drift.measures import Standing
from safeguards.drift.profile import Profile, profile
from safeguards.drift.telling import measured
from tests.drift.one_look import compare_once

N = 5000
Sides = tuple[pd.DataFrame, pd.DataFrame]
RNG = np.random.default_rng


def numbers(seed: int, shift: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame({"x": RNG(seed).normal(shift, 1, N)})


def examined(sides: Sides) -> tuple[dict[str, Comparison], Measurement]:
    reference, current = (profile(side, sample=N) for side in sides)
    found = compare_once(reference, current)
    return found, measured(found, reference, current)


def d1_column_missing() -> Sides:
    return numbers(0).assign(y=1.0), numbers(1)


def d2_all_none() -> Sides:
    return pd.DataFrame({"x": ["a", "b"] * (N // 2)}), pd.DataFrame({"x": np.array([None] * N, dtype=object)})


def d3_most_gaps() -> Sides:
    current = numbers(1)
    current.loc[: int(0.9 * N), "x"] = np.nan
    return numbers(0), current


def d4_ten_infinities() -> Sides:
    current = numbers(1)
    current.loc[:9, "x"] = np.inf
    return numbers(0), current


def d5_disjoint_texts() -> Sides:
    old, new = ([f"{word} {i}" for i in range(N)] for word in ("invoice", "parcel"))
    return pd.DataFrame({"x": old}), pd.DataFrame({"x": new})


def d6_dates_five_years_on() -> Sides:
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG(0).integers(0, 300, N), unit="D")
    return pd.DataFrame({"x": days}), pd.DataFrame({"x": days + pd.DateOffset(years=5)})


def d7_outlier_hides_a_shift() -> Sides:
    reference = numbers(0)
    reference.loc[0, "x"] = 1e12
    return reference, numbers(1, shift=1.0)


def d8_outlier_in_the_same_data() -> Sides:
    current = numbers(1)
    current.loc[0, "x"] = 1e12
    return numbers(0), current


def d9_ten_thousand_categories() -> Sides:
    reference, current = (pd.DataFrame({"x": RNG(seed).integers(0, 10_000, N).astype(str)}) for seed in (0, 1))
    return reference, current


def d11_five_values_on_both_sides() -> Sides:
    sides = numbers(0), numbers(1)
    for side in sides:
        side.loc[5:, "x"] = np.nan
    return sides


def number_turned_to_text() -> Sides:
    return numbers(0), numbers(1).astype(str)


def column_added() -> Sides:
    return numbers(0).rename(columns={"x": "y"}), numbers(1).assign(y=numbers(2).x)


CASES = [
    (d1_column_missing, "y", "column_missing", Standing.DRIFTED),
    (d2_all_none, "x", "all_gaps", Standing.DRIFTED),
    (d3_most_gaps, "x", "gaps", Standing.DRIFTED),
    (d4_ten_infinities, "x", "infinities", Standing.DRIFTED),
    (d5_disjoint_texts, "x", "unseen_values", Standing.DRIFTED),
    (d6_dates_five_years_on, "x", "values", Standing.DRIFTED),
    (d7_outlier_hides_a_shift, "x", "values", Standing.DRIFTED),
    (d8_outlier_in_the_same_data, "x", None, Standing.STABLE),
    (d9_ten_thousand_categories, "x", "unseen_values", Standing.STABLE),
    (d11_five_values_on_both_sides, "x", "too_few_rows", Standing.UNDECIDED),
    (number_turned_to_text, "x", "type_changed", Standing.DRIFTED),
    (column_added, "x", "column_added", Standing.DRIFTED),
]


@pytest.mark.parametrize(("make", "column", "name", "standing"), CASES, ids=lambda v: getattr(v, "__name__", ""))
def test_fault(make: Callable[[], Sides], column: str, name: str | None, standing: Standing) -> None:
    found, _ = examined(make())
    assert found[column].standing is standing
    assert [finding.name for finding in found[column].findings if finding.name == name] == ([name] if name else [])
    if name is None:
        assert found[column].findings == []


@pytest.mark.parametrize(("make", "column", "name", "standing"), CASES, ids=lambda v: getattr(v, "__name__", ""))
def test_what_the_fault_does_to_a_gate(
    make: Callable[[], Sides], column: str, name: str | None, standing: Standing
) -> None:
    outcome = {Standing.DRIFTED: Outcome.FAIL, Standing.STABLE: Outcome.PASS, Standing.UNDECIDED: Outcome.INCONCLUSIVE}
    assert decide(examined(make())[1], Limit(at_most=0.2)).outcome is outcome[standing]


def test_d10_fifteen_of_forty_columns_by_five_sigma() -> None:
    reference, current = (pd.DataFrame(RNG(seed).normal(size=(N, 40))) for seed in (0, 1))
    current.iloc[:, :15] += 5
    _, measurement = examined((reference, current))
    assert (measurement.value, measurement.interval) == (0.375, (0.375, 0.375))
    assert decide(measurement, Limit(at_most=0.2)).outcome is Outcome.FAIL


def test_five_current_rows_decide_nothing() -> None:
    _, measurement = examined((numbers(0), numbers(1, shift=5).head(5)))
    assert measurement.insufficient == "5 current rows, at least 30 are needed"
    assert decide(measurement, Limit(at_most=0.2), on="point").outcome is Outcome.INCONCLUSIVE


def test_random_identifiers_are_no_drift_for_being_new() -> None:
    rng = RNG(0)
    ids = [rng.bytes(8).hex() for _ in range(2 * N)]
    found, _ = examined((pd.DataFrame({"x": ids[:N]}), pd.DataFrame({"x": ids[N:]})))
    assert found["x"].standing is not Standing.DRIFTED
    assert "unseen_values" in {finding.name for finding in found["x"].findings}


def test_two_sides_without_any_column() -> None:
    empty: Profile = profile(pd.DataFrame(index=range(100)), sample=50)
    measurement = measured(compare_once(empty, empty), empty, empty)
    decision = decide(measurement, Limit(at_most=0.2))
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert "there is no column to compare: give tables that have some" in decision.reason
