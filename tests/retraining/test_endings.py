"""How a retraining ended, in plain values and in words."""

from __future__ import annotations

from safeguards.retraining import COMPLETE, conclusion, ending

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
