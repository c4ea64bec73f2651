"""How a retraining ended, in plain values and in words."""

from __future__ import annotations

import pytest

from safeguards.retraining import COMPLETE, as_of_now, conclusion, ending

ABOUT = {"model": "risk", "decision": "new data", "job": "jobs/7"}
RULED = {"admitted": True, "reasons": [], "waived": [], "version": 2}
TRAINED = {"state": COMPLETE, "reason": "", "values": {}}


def test_what_called_for_nothing_did_nothing() -> None:
    assert ending(ABOUT) == {**ABOUT, "ended": "nothing to do", "reasons": []}


def test_a_training_that_the_safeguards_ended_has_no_challenger() -> None:
    ended = ending(ABOUT, {"state": "pruned", "reason": "the gap was 0.5"})
    assert ended == {**ABOUT, "ended": "kept", "reasons": ["the safeguards ended the training: the gap was 0.5"]}


def test_the_gate_promotes_or_keeps() -> None:
    card = {"card": "jobs/7/card.html"}
    assert ending(ABOUT, TRAINED, RULED, card) == {**ABOUT, "ended": "promoted", **RULED, **card}
    kept = {**RULED, "admitted": False, "reasons": ["paired/accuracy: worse"], "version": None}
    assert ending(ABOUT, TRAINED, kept, {"no_card": "why"}) == {**ABOUT, "ended": "kept", **kept, "no_card": "why"}


def test_people_read_why_and_where() -> None:
    assert conclusion(ending(ABOUT)) == "risk: nothing to do; new data\n  jobs/7"
    kept = {**RULED, "admitted": False, "reasons": ["a\nb"]}
    told = conclusion(ending(ABOUT, TRAINED, kept, {"no_card": "the disk is full"}))
    assert told.splitlines() == [
        "risk: kept; new data",
        "  a b",
        "  the card is not written: the disk is full; call this again to write it",
        "  jobs/7",
    ]
    told = conclusion(ending(ABOUT, TRAINED, RULED, {"no_card": "the disk is full", "card": "card.html"}))
    assert told.splitlines() == ["risk: promoted; new data", "  card.html"]


@pytest.mark.parametrize(("champion", "held"), [(1, "version 1 is champion"), (None, "no model is champion")])
def test_a_promotion_that_was_taken_back_is_none(champion: int | None, held: str) -> None:
    promoted = ending(ABOUT, TRAINED, RULED, {"card": "card.html"})
    assert as_of_now(promoted, lambda: 2) == promoted
    now = as_of_now(promoted, lambda: champion)
    why = f"version 2 was promoted then, and {held} now: `safeguards history risk` says why"
    assert now == {**promoted, "ended": "kept", "reasons": [why]}


def test_what_promoted_nobody_asks_nobody_who_is_champion() -> None:
    kept = ending(ABOUT, TRAINED, {**RULED, "admitted": False, "version": None})
    assert as_of_now(kept, lambda: pytest.fail("asked")) == kept
