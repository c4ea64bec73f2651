import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.split import as_row_ids, split_by_hash

FIRST_EIGHT = ["train", "train", "train", "test", "validation", "validation", "train", "test"]
IDS = st.lists(st.one_of(st.integers(), st.text()), min_size=1)


def test_the_split_of_an_id_is_fixed_for_ever():
    assert split_by_hash(range(8), validation=0.3, test=0.3) == FIRST_EIGHT


@given(IDS, st.randoms())
def test_neither_the_order_nor_other_rows_move_a_row(ids, random):
    shuffled = [*random.sample(ids, len(ids)), "one more"]
    before = dict(zip(ids, split_by_hash(ids, validation=0.3, test=0.3), strict=True))
    after = dict(zip(shuffled, split_by_hash(shuffled, validation=0.3, test=0.3), strict=True))
    assert all(after[value] == place for value, place in before.items())


def test_shares_are_met_in_expectation():
    found = split_by_hash(range(20_000), validation=0.2, test=0.1)
    share = {name: found.count(name) / len(found) for name in ("train", "validation", "test")}
    assert share == pytest.approx({"train": 0.7, "validation": 0.2, "test": 0.1}, abs=0.015)


def test_another_seed_is_another_split():
    same = split_by_hash(range(100), validation=0.3, test=0.3)
    assert split_by_hash(range(100), validation=0.3, test=0.3, seed=1) != same


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (-0.1, 0.2), (0.2, -0.1)])
def test_shares_leave_room_for_training(validation, test):
    with pytest.raises(ValueError, match="leave room for training"):
        split_by_hash([1], validation=validation, test=test)


def test_whole_numbers_are_their_own_row_id_and_texts_are_hashed():
    assert as_row_ids([3, np.int64(5)]).tolist() == [3, 5]
    hashed = as_row_ids(["p-1", "p-2", "p-1"])
    assert hashed.dtype == np.int64
    assert hashed[0] == hashed[2] != hashed[1]
    assert (hashed >= 0).all()


def test_an_id_is_one_word_whatever_its_type():
    for same in ([7, 8], [7.0, 8.0], [np.float32(7), np.float32(8)], ["7", "8"], ["7.0", " 8"]):
        assert as_row_ids(same).tolist() == [7, 8]
        assert split_by_hash(same, validation=0.3, test=0.3) == split_by_hash([7, 8], validation=0.3, test=0.3)
    apart = ["07", "7.5", "v1.0", "7.00", "9" * 19, "\u0667"]
    assert len({*as_row_ids([*apart, 7])}) == 7
    assert as_row_ids(["p", 7, 2**63 - 1])[1:].tolist() == [7, 2**63 - 1]
