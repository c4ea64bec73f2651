"""The table: counts by hand, any split of the rows adds up to the same, and its size does not follow the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards.fairness.labels import coded, in_order
from safeguards.fairness.table import Tally, table_of


def tally_of(labels, true, guess, *, attributes=("sex",), classes=2, max_groups=9):
    tally = Tally(attributes, max_groups)
    for start in range(0, len(true), 5):
        part = slice(start, start + 5)
        some = {name: coded(values[part], name) for name, values in labels.items()}
        tally.add(some, np.array(true[part]), np.array(guess[part]), classes)
    return tally


def test_counts_by_hand():
    tally = tally_of({"sex": ["F", "M", "F", "F", "M", "M", "M"]}, [1, 1, 0, 1, 0, 0, 1], [1, 0, 0, 0, 0, 1, 1])
    keys = in_order(tally.codes)
    assert [key[0][1] for key in keys] == ["F", "M"]
    assert tally.counts_for(keys, 2).tolist() == [[[1, 2], [2, 1], [1, 1]], [[2, 2], [2, 2], [1, 1]]]


def test_crossed_attributes_name_what_never_met():
    sex, age = ["F", "F", "M", "M", "M"], [30, 40, 30, 30, 50]
    tally = tally_of({"sex": sex, "age": age}, [0] * 5, [0] * 5, attributes=("sex", "age"))
    keys = in_order(tally.codes)
    table = table_of(tally.attributes, keys, tally.counts_for(keys, 2))
    assert table.name == "sex & age"
    assert table.groups == ("sex=F & age=30", "sex=F & age=40", "sex=M & age=30", "sex=M & age=50")
    assert (table.n, table.unseen, table.unseen_names) == (5, 2, ("sex=F & age=50", "sex=M & age=40"))


def test_a_group_met_elsewhere_has_zeros_here():
    tally = tally_of({"sex": ["F"]}, [1], [0])
    elsewhere = (("text", "M"),)
    assert tally.counts_for([elsewhere], 2).sum() == 0
    assert Tally(("sex",), 9).counts_for([elsewhere], 2).shape == (1, 3, 2)


def test_more_groups_than_allowed_stop_the_counting():
    tally = tally_of({"sex": list(range(10_000))}, [0] * 10_000, [0] * 10_000, max_groups=7)
    assert tally.too_many
    assert len(tally.codes) == 8
    assert tally.counts_g3c.shape == (7, 3, 2)


def test_state_does_not_grow_with_rows():
    small, large = (tally_of({"sex": ["F", "M"] * n}, [0, 1] * n, [0, 1] * n) for n in (5, 500))
    assert small.counts_g3c.nbytes == large.counts_g3c.nbytes
    assert large.counts_g3c.sum() == 100 * small.counts_g3c.sum()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60),
    ranks=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_split_over_processes_adds_up_to_the_same(rows, ranks, seed):
    owner = np.random.default_rng(seed).integers(0, ranks, len(rows))
    parts = [[row for row, rank in zip(rows, owner, strict=True) if rank == mine] for mine in range(ranks)]

    def tally(part):
        labels, true, guess = zip(*part, strict=True) if part else ((), (), ())
        return tally_of({"sex": labels}, list(true), list(guess), classes=3)

    whole, tallies = tally(rows), [tally(part) for part in parts]
    keys = in_order({key for each in tallies for key in each.codes})
    assert keys == in_order(whole.codes)
    assert sum(each.counts_for(keys, 3) for each in tallies).tolist() == whole.counts_for(keys, 3).tolist()


@pytest.mark.parametrize("groups", [1, 4])
def test_table_of_knows_classes_and_rows(groups):
    counts = np.ones((groups, 3, 5), dtype=np.int64)
    table = table_of(("sex",), [(("number", str(place)),) for place in range(groups)], counts)
    assert (table.classes, table.n, table.unseen) == (5, 5 * groups, 0)
