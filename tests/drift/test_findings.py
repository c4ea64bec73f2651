from __future__ import annotations

import numpy as np
import pandas as pd

from safeguards.drift.findings import Comparison
from safeguards.drift.measures import Standing
from safeguards.drift.profile import profile
from tests.drift.one_look import compare_once

CODES = np.random.default_rng(0).integers(1, 3, 4000)


def normal(n: int = 4000, *, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, size=n)


def found(then: object, now: object, *, loose: bool = False, columns: list[str] | None = None) -> Comparison:
    reference = profile(pd.DataFrame({"x": then}), sample=5000, loose=loose)
    current = profile(pd.DataFrame({"x": now}), sample=5000)
    return compare_once(reference, current, columns=columns)["x"]


def names(comparison: Comparison) -> set[str]:
    return {finding.name for finding in comparison.findings}


def test_codes_of_a_source_without_types_are_compared_as_words() -> None:
    assert found(CODES, CODES.astype(str), loose=True).standing is Standing.STABLE
    assert names(found(CODES, CODES.astype(str))) == {"type_changed"}
    assert found(pd.Categorical(CODES), CODES).standing is Standing.STABLE


def test_dates_that_a_source_without_types_holds_as_text() -> None:
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.random.default_rng(0).integers(0, 300, 4000), unit="D")
    assert found(days, days.astype(str), loose=True).standing is Standing.STABLE
    assert found(days, days.astype(str), loose=True).kind == "time"
    assert names(found(days, ["soon"] * 4000, loose=True)) == {"type_changed"}


def test_unseen_values_are_named_and_count_only_when_many() -> None:
    few = found(["a"] * 4000, ["a"] * 3990 + ["<new>"] * 10)
    assert few.standing is Standing.STABLE
    assert few.findings[0].text == "1 values that the reference lacks, in 0.2% of the current rows: '<new>'"
    assert names(found(["a"] * 4000, ["a"] * 3000 + ["new"] * 1000)) == {"unseen_values", "values", "unseen"}


def test_infinities_that_the_reference_has_too_are_compared_as_a_share() -> None:
    base = normal()
    then, same, more = base.copy(), base.copy(), base.copy()
    then[:100], same[:110], more[:2000] = np.inf, np.inf, np.inf
    assert found(then, same).standing is Standing.STABLE
    assert "infinities" in names(found(then, more))


def test_fewer_gaps_than_before_is_a_change_too() -> None:
    base = normal()
    gaps = base.copy()
    gaps[:2000] = np.nan
    assert names(found(gaps, base)) == {"gaps"}
    assert found(np.full(4000, np.nan), base).standing is Standing.DRIFTED
    assert found(np.full(4000, np.nan), np.full(4000, np.nan)).standing is Standing.STABLE


def test_gaps_that_stay_under_the_smallest_effect_are_no_drift() -> None:
    base = normal()
    some = base.copy()
    some[:200] = np.nan
    assert found(base, some).standing is Standing.STABLE


def test_a_column_asked_for_that_nobody_has() -> None:
    frame = profile(pd.DataFrame({"x": normal(100)}), sample=100)
    answer = compare_once(frame, frame, columns=["y", "x"])
    assert names(answer["y"]) == {"column_missing"}
    assert list(answer) == ["y", "x"]


def test_plain_form() -> None:
    told = found(normal(), normal(seed=1, mean=5.0)).plain()
    assert (told["standing"], told["of"], told["kind"]) == ("drifted", "values", "number")
    assert set(told["findings"]) == {"values"}
