"""Exact numbers by hand, scipy and statsmodels as oracles, then properties and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from safeguards.drift.measures import (
    MOST_VALUES,
    Effect,
    Standing,
    category_effect,
    drifted_share,
    judge,
    number_effect,
    share_effect,
    text_effect,
    unseen_effect,
)


def words(*parts: tuple[str, int]) -> np.ndarray:
    return np.array([word for word, count in parts for _ in range(count)], dtype=object)


def effect(p: float, distance: float = 0.5, n: int = 10_000) -> Effect:
    return Effect(of="values", distance=distance, p=p, n=n, m=n)


def test_numbers_that_never_meet_are_at_distance_one() -> None:
    found = number_effect(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    assert (found.distance, found.n, found.m) == (1.0, 3, 3)
    assert found.p == pytest.approx(2 / math.comb(6, 3))


def test_numbers_agree_with_scipy_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    then, now = rng.normal(size=80), rng.normal(0.5, size=120)
    expected = stats.ks_2samp(then, now, method="exact")
    found = number_effect(rng.permutation(then), now)
    assert (found.distance, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_half_of_the_rows_moved_is_distance_one_half() -> None:
    assert number_effect(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 30.0, 40.0])).distance == 0.5


def test_one_outlier_moves_the_distance_by_one_row() -> None:
    base = np.linspace(0, 1, 1000)
    spoiled = np.r_[base[:-1], 1e12]
    assert number_effect(base, spoiled).distance == pytest.approx(0.001)
    assert number_effect(spoiled, base + 0.5).distance == pytest.approx(0.5, abs=0.002)


def test_categories_by_hand() -> None:
    found = category_effect(words(("a", 60), ("b", 40)), words(("a", 40), ("b", 60)))
    assert found.distance == pytest.approx(0.2)
    assert found.p == pytest.approx(stats.chi2_contingency([[60, 40], [40, 60]], correction=False).pvalue)
    deviation = math.sqrt(2 / math.pi * 0.25 * (1 / 100 + 1 / 100))
    assert found.by_chance == pytest.approx(2 * deviation / 2)
    assert found.size == pytest.approx(0.2 - deviation)


def test_rare_words_count_as_one() -> None:
    reference = words(("a", 100), *((f"r{i}", 1) for i in range(50)))
    current = words(("a", 100), *((f"s{i}", 1) for i in range(50)))
    found = category_effect(reference, current)
    assert (found.distance, found.p) == (0.0, 1.0)


def test_one_common_word_is_no_difference() -> None:
    assert category_effect(words(("a", 10)), words(("a", 20))).p == 1.0


def test_chance_explains_the_distance_of_many_equal_categories() -> None:
    rng = np.random.default_rng(0)
    draw = [rng.integers(0, 40, 2000).astype(str).astype(object) for _ in range(2)]
    found = category_effect(*draw)
    assert found.distance > 0.03
    assert found.size < 0.02


def test_no_more_than_the_most_frequent_words_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 400, 40_000).astype(str).astype(object) for _ in range(2)]
    expected = 0.4 * math.sqrt(MOST_VALUES * 2 / 40_000)
    assert category_effect(*draws).by_chance < 1.5 * expected


@pytest.mark.parametrize(("hits", "now"), [(1, 8), (300, 340)])
def test_shares_agree_with_scipy(hits: int, now: int) -> None:
    n = 20 if hits < 20 else 1000
    table = [[hits, n - hits], [now, n - now]]
    expected = stats.fisher_exact(table).pvalue if n == 20 else stats.chi2_contingency(table).pvalue
    found = share_effect(hits, n, now, n, of="gaps")
    assert found.p == pytest.approx(expected)
    assert found.distance == pytest.approx(abs(hits - now) / n)


def test_shares_of_nothing_or_all_do_not_differ() -> None:
    assert share_effect(0, 10, 0, 20, of="gaps").p == 1.0
    assert share_effect(10, 10, 20, 20, of="gaps").p == 1.0


def test_new_words_are_held_against_how_often_a_word_is_new_anyway() -> None:
    ids = np.array([f"{number:05d}" for number in range(4000)], dtype=object)
    assert unseen_effect(ids[:2000], ids[2000:]).distance == 0.0
    colours = words(("red", 500), ("blue", 500))
    assert unseen_effect(colours, words(("green", 300), ("red", 700))).distance == pytest.approx(0.3)


def test_texts_from_another_source_are_told_apart_and_random_identifiers_are_not() -> None:
    rng = np.random.default_rng(0)
    hexes = np.array([rng.bytes(8).hex() for _ in range(4000)], dtype=object)
    assert text_effect(hexes[:2000], hexes[2000:]).p > 0.001
    old, new = (np.array([f"{prefix}{i}" for i in range(2000)], dtype=object) for prefix in ("user-", "kunde-"))
    assert text_effect(old, new).distance == 1.0


def test_the_ceiling_by_hand() -> None:
    found = Effect(of="values", distance=0.05, p=1.0, n=1000, m=1000)
    assert found.ceiling(0.05) == pytest.approx(0.05 + math.sqrt(math.log(20) / 2 * 0.002))
    assert Effect(of="values", distance=0.9, p=1.0, n=10, m=10).ceiling(0.05) == 1.0


def test_the_ceiling_holds_the_true_distance() -> None:
    rng = np.random.default_rng(0)
    shift, n = 0.4, 150
    true = 2 * stats.norm.cdf(shift / 2) - 1
    missed = sum(number_effect(rng.normal(size=n), rng.normal(shift, size=n)).ceiling(0.05) < true for _ in range(300))
    assert missed <= 0.05 * 300


def test_adjusted_p_are_those_of_statsmodels() -> None:
    raw = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216, 0.222, 0.251]
    found = judge({str(i): [effect(p)] for i, p in enumerate(raw)}, alpha=0.05, min_effect=0.1)
    assert [p for _, p in found.values()] == pytest.approx(multipletests(raw, 0.05, "fdr_bh")[1].tolist())


@pytest.mark.parametrize(
    ("effects", "standing"),
    [
        ([effect(1e-9)], Standing.DRIFTED),
        ([effect(1e-9, distance=0.05)], Standing.STABLE),
        ([effect(0.9, distance=0.05, n=100)], Standing.UNDECIDED),
        ([effect(0.9), effect(1e-9, distance=0.01)], Standing.UNDECIDED),
        ([effect(0.9, distance=0.01), effect(1e-9)], Standing.DRIFTED),
        ([effect(0.03), effect(0.9), effect(0.9)], Standing.UNDECIDED),
        ([], Standing.UNDECIDED),
    ],
    ids=["large", "significant but small", "too few rows", "mixed", "second", "corrected", "nothing compared"],
)
def test_where_a_column_stands(effects: list[Effect], standing: Standing) -> None:
    assert judge({"a": effects}, alpha=0.05, min_effect=0.1)["a"][0] is standing


def test_no_columns_no_standings() -> None:
    assert judge({}, alpha=0.05, min_effect=0.1) == {}


def test_the_share_and_its_interval() -> None:
    standings = dict(zip("abcd", [Standing.DRIFTED, Standing.STABLE, Standing.UNDECIDED, Standing.STABLE], strict=True))
    found = drifted_share(standings, n=77)
    assert (found.value, found.interval, found.n) == (0.25, (0.25, 0.5), 77)


def test_thirty_columns_without_drift_raise_few_alarms() -> None:
    rng = np.random.default_rng(0)
    repeats, alarms = 100, 0
    for _ in range(repeats):
        sides = rng.normal(size=(2, 30, 120))
        columns = {str(i): [number_effect(sides[0, i], sides[1, i])] for i in range(30)}
        alarms += any(s is Standing.DRIFTED for s, _ in judge(columns, alpha=0.05, min_effect=0.1).values())
    assert alarms <= stats.binom.ppf(0.999, repeats, 0.05)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=2, max_size=60), st.lists(st.integers(-5, 5), min_size=2, max_size=60))
def test_order_sides_and_scale_do_not_matter(then: list[int], now: list[int]) -> None:
    a, b = np.array(then, dtype=float), np.array(now, dtype=float)
    found = number_effect(a, b)
    assert number_effect(b[::-1], a).distance == found.distance
    assert number_effect(np.exp(a), np.exp(b)).distance == found.distance
    assert 0 <= found.distance <= 1
    as_words = category_effect(a.astype(str).astype(object), b.astype(str).astype(object))
    renamed = category_effect((a + 100).astype(str).astype(object), (b + 100).astype(str).astype(object))
    assert as_words.distance == pytest.approx(renamed.distance)


def test_rows_that_alternate_hold_nothing_new() -> None:
    """Every second row of such a table is all of one word: by rank alone half of the reference would lack the other."""
    words = np.array(["a", "b"] * 250, dtype=object)
    found = unseen_effect(words, words)
    assert (found.distance, found.p) == (0.0, 1.0)
