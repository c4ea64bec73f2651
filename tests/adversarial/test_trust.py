import pytest

from safeguards.adversarial import trust
from safeguards.adversarial.measures import Share


def of_100(hits: int) -> Share:
    return Share(hits=hits, n=100)


@pytest.mark.parametrize(
    ("curve", "state"),
    [
        ({0.5: 80, 1.0: 60, 2.0: 20}, "ok"),
        ({0.5: 80, 1.0: 85, 2.0: 84}, "ok"),  # within the interval of 80 of 100, which ends at 87.3
        ({0.5: 80, 1.0: 88}, "failed"),
        ({0.5: 80, 1.0: 84, 2.0: 88}, "failed"),  # no neighbours differ, the ends do
        ({2.0: 80, 0.5: 88}, "ok"),  # whatever the order in which they come
        ({1.0: 50}, "skipped"),
    ],
)
def test_accuracy_does_not_rise_with_eps(curve: dict[float, int], state: str) -> None:
    assert trust.non_increasing({eps: of_100(hits) for eps, hits in curve.items()}, 0.05).state == state


@pytest.mark.parametrize(
    ("standing", "predicted", "state"),
    [
        (of_100(0), [50, 50], "ok"),
        (of_100(59), [50, 50], "ok"),  # 50 of 100 may be 60.2
        (of_100(61), [50, 50], "failed"),
        (of_100(100), [100], "ok"),  # a constant model
        ("some features stay fixed", [50, 50], "skipped"),
    ],
)
def test_the_whole_range_leaves_no_more_than_a_constant_would(standing, predicted, state) -> None:  # type: ignore[no-untyped-def]
    assert trust.whole_range(standing, predicted, 0.05).state == state


@pytest.mark.parametrize(
    ("many", "single", "state"),
    [
        (of_100(40), of_100(50), "ok"),
        (of_100(60), of_100(50), "ok"),
        (of_100(61), of_100(50), "failed"),
        (of_100(61), None, "skipped"),
    ],
)
def test_many_steps_are_at_least_as_strong_as_one(many: Share, single: Share | None, state: str) -> None:
    assert trust.iterated(many, single, 0.05).state == state


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"attacked": 10, "usable": 6, "indifferent": 0, "constant": False}, "ok"),
        ({"attacked": 10, "usable": 5, "indifferent": 0, "constant": False}, "failed"),
        ({"attacked": 10, "usable": 0, "indifferent": 10, "constant": False}, "ok"),
        ({"attacked": 10, "usable": 0, "indifferent": 0, "constant": True}, "skipped"),
        ({"attacked": 0, "usable": 0, "indifferent": 0, "constant": False}, "skipped"),
    ],
)
def test_most_rows_have_a_gradient(counts: dict[str, int], state: str) -> None:
    assert trust.gradients(**counts).state == state  # type: ignore[arg-type]


@pytest.mark.parametrize(("usable", "moved", "state"), [(10, 6, "ok"), (10, 5, "failed"), (0, 0, "skipped")])
def test_most_rows_with_a_gradient_move(usable: int, moved: int, state: str) -> None:
    assert trust.moves(usable=usable, moved=moved).state == state


@pytest.mark.parametrize(("share", "state"), [(0.25, "ok"), (1.0, "ok"), (1.01, "failed"), (None, "skipped")])
def test_a_step_fits_into_eps(share: float | None, state: str) -> None:
    assert trust.step_fits(share).state == state


@pytest.mark.parametrize(("outside", "state"), [(0, "ok"), (1, "failed"), (None, "skipped")])
def test_the_clip_range_contains_the_data(outside: int | None, state: str) -> None:
    assert trust.clip_holds(outside, 100).state == state
