"""What is trained beside an optimum, by hand."""

import pytest

from safeguards.core.errors import ConfigurationError
from safeguards.search import Space, variants

SPACE = Space.read(
    {
        "rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "drop": {"type": "float", "low": 0.0, "high": 0.5},
        "part": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25},
        "width": {"type": "int", "low": 8, "high": 64, "step": 8},
        "few": {"type": "int", "low": 1, "high": 3},
        "kind": {"type": "categorical", "choices": ["a", "b", "c"]},
        "more": {"type": "float", "low": 0.0, "high": 1.0, "when": {"kind": "c"}},
        "flag": {"type": "categorical", "choices": [True, 1]},
    }
)
FOUND = {"rate": 1e-2, "drop": 0.5, "part": 0.5, "width": 32, "few": 1, "kind": "a", "flag": True}


def moved(found, key):
    """The values that a key is moved to; everything else stays as it was found."""
    made = {name: one for name, one in variants(SPACE, found, seeds=[], seed_key="seed").items() if f"{key} = " in name}
    assert all({**one, key: found[key]} == found for one in made.values())
    return [one[key] for one in made.values()]


def test_each_value_moves_by_a_tenth_of_its_range_and_stays_inside():
    assert moved(FOUND, "rate") == pytest.approx([1e-2 / 1000**0.1, 1e-2 * 1000**0.1])
    assert moved(FOUND, "drop") == pytest.approx([0.45]), "no further than the edge, where it is"
    assert moved({**FOUND, "drop": 0.48}, "drop") == pytest.approx([0.43, 0.5])
    assert moved(FOUND, "part") == [0.25, 0.75], "a step is more than a tenth"
    assert moved(FOUND, "width") == [24, 40]
    assert moved(FOUND, "few") == [2]
    assert all(isinstance(value, int) for value in moved(FOUND, "width"))


def test_a_choice_becomes_each_other_one_that_asks_for_the_same_keys():
    assert moved(FOUND, "kind") == ["b"]
    (other,) = moved(FOUND, "flag")
    assert other == 1
    assert other is not True
    assert moved({**FOUND, "kind": "c", "more": 0.5}, "more") == pytest.approx([0.4, 0.6])


def test_seeds_change_nothing_else():
    made = variants(SPACE, FOUND, seeds=[3, 4], seed_key="seed_everything")
    assert list(made)[:2] == ["seed 3", "seed 4"]
    assert made["seed 4"] == {**FOUND, "seed_everything": 4}
    assert all("seed_everything" not in one for name, one in made.items() if not name.startswith("seed "))


def test_every_variant_lies_in_the_space():
    for found in (FOUND, {**FOUND, "rate": 1e-4, "part": 1.0, "width": 64, "few": 3}):
        made = variants(SPACE, found, seeds=[], seed_key="seed")
        assert len(made) >= 7
        for one in made.values():
            SPACE.check(one)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_of_the_range_is_between_0_and_1(share):
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        variants(SPACE, FOUND, seeds=[], seed_key="seed", share=share)
