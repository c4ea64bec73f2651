"""How an optimum lies, told by hand and by a search whose truth is known."""

from dataclasses import replace

import pytest

from safeguards.core.errors import TrialFailed
from safeguards.search import Ending, Search, Sensitivity, Space, search_again, train_variants, variants
from safeguards.search.story import Tried

SPACE = Space.read({"rate": {"type": "float", "low": 0.0, "high": 1.0}})


def tried(value, gap, state="complete", **more):
    values = {} if value is None else {"accuracy": value}
    return Tried(number=0, state=state, values=values, violations={"toy/gap": gap}, **more)


def sensitivity(seeds, nudges=(), found=(0.5, -0.1)):
    return Sensitivity(
        found=tried(*found),
        objectives=["accuracy"],
        constraints=["toy/gap"],
        unmeasured=1000.0,
        seeds={f"seed {number}": tried(*one) for number, one in enumerate(seeds, 1)},
        nudges={f"rate = {number}": tried(*one) for number, one in enumerate(nudges, 1)},
    )


def test_a_limit_that_only_some_seeds_keep_is_fragile():
    one = sensitivity([(0.6, 0.0), (0.4, 0.05), (0.5, -0.2)])
    assert one.fragile == {"toy/gap": (3, 4)}
    assert one.text() == "trial 0 is FRAGILE: 3 of 4 seeds keep toy/gap"
    assert one.spread("accuracy") == (0.4, 0.6)
    assert one.spread("toy/gap") == (-0.2, 0.05)


@pytest.mark.parametrize("gap", [0.0, -0.05])
def test_a_limit_that_every_seed_keeps_is_not(gap):
    assert sensitivity([(0.6, gap), (0.4, -0.2)]).fragile == {}
    assert sensitivity([(0.6, gap), (0.4, -0.2)]).text() == "trial 0 keeps every limit with each of 3 seeds"


def test_a_seed_that_was_never_measured_or_pruned_for_its_limit_makes_it_fragile():
    assert sensitivity([(0.6, 1000.0)]).fragile == {"toy/gap": (1, 2)}
    assert sensitivity([(None, 0.3, "pruned")]).fragile == {"toy/gap": (1, 2)}


def test_without_other_seeds_nothing_is_known():
    crashed = replace(tried(None, 0.0, "failed", reason="a process was killed"), violations={})
    one = replace(sensitivity([]), seeds={"seed 1": crashed})
    assert one.fragile == {}
    assert one.text().splitlines() == [
        "trial 0: whether it is fragile is not known, as no other seed was trained",
        "not told by seed 1: a process was killed",
    ]


def test_a_nudge_counts_where_it_goes_beyond_the_seeds():
    one = sensitivity([(0.6, -0.2), (0.4, -0.1)], [(0.4, -0.1), (0.39, -0.15), (0.5, 0.3)])
    assert one.steep == {"accuracy": ["rate = 2"], "toy/gap": ["rate = 3"]}
    assert one.breaking == {"toy/gap": ["rate = 3"]}
    assert "toy/gap is not kept with rate = 3" in one.text()
    assert sensitivity([(0.6, -0.2), (0.4, -0.1)], [(0.6, -0.2)]).steep == {}


def test_the_best_is_trained_again_in_a_study_of_its_own_which_goes_on(tmp_path):
    """The gap is kept with even seeds only; a training crashes once and is not begun again."""
    storage = f"journal:{tmp_path / 'study.log'}"

    def search():
        return Search(
            space=SPACE,
            objectives={"accuracy": "maximize"},
            constraints=["toy/gap"],
            storage=storage,
            sampler="random",
            pruner="median",
        )

    def train(task):
        assert task.prune(1, 0.0) is False
        asked.append(dict(task.parameters))
        seed = task.parameters.get("seed", 0)
        if seed == 3:
            raise TrialFailed("a process was killed")
        values = {"accuracy": 1 - abs(task.parameters["rate"] - 0.5)}
        return Ending(state="complete", values=values, violations={"toy/gap": 0.25 if seed % 2 else -0.25})

    asked = []
    first = search()
    first.enqueue({"rate": 0.5})
    first.run(train, trials=2)
    made = variants(SPACE, {"rate": 0.5}, seeds=[1, 2, 3], seed_key="seed")
    again = search_again(first, 0, made, storage=storage)
    del asked[:]
    again.run(train_variants(train, made), trials=2)
    again = search_again(search(), 0, made, storage=storage)
    again.run(train_variants(train, made), trials=len(made))
    assert asked == list(made.values()), "each variant once, in order"
    assert first.story().complete == search().story().complete
    assert len(first.study.get_trials()) == 2, "the search's own trials are left alone"

    found = Sensitivity.of(first.story().tried[0], again.story())
    assert found.fragile == {"toy/gap": (2, 3)}
    assert found.silent == {"seed 3": "a process was killed"}
    assert list(found.nudges) == ["rate = 0.4", "rate = 0.6"]
    assert found.steep == {"accuracy": ["rate = 0.4", "rate = 0.6"]}
    other = variants(SPACE, {"rate": 0.5}, seeds=[1], seed_key="seed")
    assert search_again(first, 0, other, storage=storage).study.get_trials()[0].state.name == "WAITING"
