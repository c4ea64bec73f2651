import math
from dataclasses import replace

import numpy as np
import pytest

from safeguards.adversarial.judging import Asked, judged
from safeguards.adversarial.record import Record

ASKED = Asked(
    multiples=(0.5, 1.0, math.inf),
    eps=0.1,
    step=0.25,
    single_step=False,
    follows_gradients=True,
    unreachable=None,
    outside=0,
)


def record(right: list[list[int]], clean: list[int]) -> Record:
    """Rows of two classes that all have a gradient and move."""
    n = len(clean)
    yes, no = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    return Record(
        predicted=np.arange(n) % 2,
        clean=np.array(clean, dtype=bool),
        single=yes,
        right=np.array(right, dtype=bool),
        finite=yes,
        sloped=yes,
        steered=yes,
        moved=yes,
        unchanged=no,
        tied=no,
        low=np.array([0.0, 0.0]),
        high=np.array([1.0, 1.0]),
    )


def test_a_row_counts_that_is_right_and_stays_so_at_every_eps_up_to_it() -> None:
    """Rows: wrong already though right under attack; broken at half eps only; broken at eps; never broken."""
    rows = record([[1, 0, 1, 1], [1, 1, 0, 1], [0, 0, 0, 0]], clean=[0, 1, 1, 1])
    found = judged(rows, ASKED, invalid=(), alpha=0.05)
    assert (found.value, found.n) == (0.25, 4)
    assert [(point["eps"], point["accuracy"], point["attack_alone"]) for point in found.details["curve"]] == [
        (0.05, 0.5, 0.5),
        (0.1, 0.25, 0.5),
    ]
    assert found.details["clean_accuracy"] == 0.75
    assert found.interval == pytest.approx((0.00631, 0.80588), abs=1e-5)
    assert (found.insufficient, found.model_fault, found.note) == (None, None, "")


def test_checks_look_at_each_eps_before_anything_is_carried() -> None:
    """Carried on, no row would stand at eps; by itself the attack at eps leaves them all, which gives it away."""
    none, every = [0] * 40, [1] * 40
    found = judged(record([none, every, none], clean=every), ASKED, invalid=(), alpha=0.05)
    assert found.value == 0.0
    assert "check 'non_increasing' failed: accuracy rises from 0 (0 of 40) at 0.5 eps to 1 (40 of 40) at 1 eps" in str(
        found.insufficient
    )


def test_rows_without_outputs_are_the_fault_of_the_model() -> None:
    rows = record([[1, 1]] * 3, clean=[1, 1])
    found = judged(replace(rows, finite=np.array([True, False])), ASKED, invalid=(), alpha=0.05)
    assert found.model_fault == "the outputs of 1 of 2 rows are NaN or infinite without any attack"


def test_invalid_rows_are_named_and_then_counted() -> None:
    found = judged(record([[0, 0]] * 3, clean=[1, 1]), ASKED, invalid=range(12), alpha=0.05)
    assert found.note == ("12 rows hold NaN or infinite inputs and are not counted: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...")
    assert found.details["invalid_rows"] == {"count": 12, "first": list(range(10))}


def test_rows_that_ignore_what_may_change_are_no_masked_gradient() -> None:
    blind = replace(record([[1] * 9] * 3, clean=[1] * 9), steered=np.zeros(9, dtype=bool))
    asked = replace(ASKED, unreachable="some features stay fixed")
    assert "'gradients' failed" in str(judged(blind, asked, invalid=(), alpha=0.05).insufficient)
    unmoved = replace(blind, unchanged=np.ones(9, dtype=bool))
    assert judged(unmoved, asked, invalid=(), alpha=0.05).insufficient is None


def test_later_looks_do_not_make_the_checks_lenient() -> None:
    rows = record([[1] * 40, [1] * 40, [1] * 27 + [0] * 13], clean=[1] * 40)
    tight, wide = (judged(rows, ASKED, invalid=(), alpha=alpha) for alpha in (0.05, 1e-9))
    assert "check 'whole_range' failed" in (tight.insufficient or "")
    assert tight.insufficient == wide.insufficient
    assert wide.interval != tight.interval
