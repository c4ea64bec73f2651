"""The linter as the enemy of whoever edits a card: whatever is planted, a line says so."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from safeguards.card import Evidence, Stated, evidence_of, lint_card, model_card
from safeguards.card.evidence import Tracked
from safeguards.gate import Ruling
from tests.card.records import champion, record

STATED = Stated(owner="room 7")


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of(record(), champion=champion(), ruling=Ruling(admitted=False, reasons=("drift: undecided",)))


@pytest.fixture(scope="module")
def page(evidence: Evidence) -> str:
    made = model_card(evidence, stated=STATED)
    assert lint_card(made, evidence, STATED) == []
    return made


def cell(pointer: str) -> str:
    """Of a link to this evidence, up to its text."""
    return rf'(<a [^>]*data-evidence="{pointer}"[^>]*>)([^<]*)(</a>)'


PLANTED = {
    "a number in a sentence": ("</main>", "<p>99 % accurate</p></main>", "a number without evidence: '99 % accurate'"),
    "a number in other digits": ("</main>", "<p>½ the errors</p></main>", "a number without evidence: '½ the errors'"),
    "a number in a drawing": ("</svg>", '<text x="1" y="1">0.99</text></svg>', "a number without evidence: '0.99'"),
    "a number for the ear": ('aria-label="Cost', 'aria-label="Only 1 s. Cost', "without evidence in <svg aria-label>"),
    "a number on hovering": ("<main ", '<main title="99 of 100" ', "a number without evidence in <main title>"),
    "a script": ("</body>", "<script>alert(1)</script></body>", "<script> has no place on a card"),
    "an image": ("</main>", '<img src="http://evil.example/x">x</main>', "<img> has no place on a card"),
    "a handler": ("<main ", '<main onclick="x" ', "<main onclick> has no place on a card"),
    "a style of its own": ("<main ", '<main style="display: none" ', "<main style> has no place on a card"),
    "a second style": ("</head>", "<style>.fail{display:none}</style></head>", "the style is not the card's own"),
    "a jump": ('<meta name="referrer"', '<meta http-equiv="refresh" name="referrer"', "<meta http-equiv> has no place"),
    "a comment": ("</body>", "<!-- api_key=x --></body>", "a comment has no place on a card"),
    "an outcome": ("</main>", '<span class="pill pass">✓ PASS</span></main>', "an outcome without evidence"),
    "an address": ("</main>", '<a href="http://evil.example/">more</a></main>', "a link leads nowhere: http://evil"),
    "a place that is not there": ("</main>", '<a href="#none">more</a></main>', "a link leads nowhere: #none"),
    "a statement": ("</main>", "<p data-stated>We promise.</p></main>", "is marked as stated, and nobody stated it"),
    "a reference": ("</main>", "<p data-fixed>99 %</p></main>", "is marked as a reference and is none"),
    "what was stated as missing": ("</main>", '<p data-missing="owner">x</p></main>', "owner is said to be missing"),
    "the same id twice": ("</main>", '<p id="main">x</p></main>', "two elements share the id 'main'"),
    "a false end": ("</main>", "</div></main>", "</div> closes what is not open"),
    "evidence in evidence": (">drift: undecided", "><span data-fixed></span>drift: undecided", "stands inside what"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str, page: str, evidence: Evidence) -> None:
    was, becomes, said = PLANTED[name]
    assert was in page
    problems = lint_card(page.replace(was, becomes, 1), evidence, STATED)
    assert any(said in one for one in problems), problems


CHANGED = {
    "a value": (cell("/record/verdicts/1/value"), r"\g<1>0.04\3", "'0.04' is not what its evidence says: '0.05'"),
    "an outcome": (cell("/record/verdicts/0/outcome"), r"\1✓ PASS\3", "'✓ PASS' is not what its evidence says"),
    "the ruling": (cell("/ruling/admitted"), r"\1The gate admitted it\3", "is not what its evidence says"),
    "a reason": (cell("/record/verdicts/5/reason"), r"\1fine\3", "'fine' is not what its evidence says"),
    "whose evidence": (r'data-evidence="/record/verdicts/1/value"', 'data-evidence="/none"', "/none leads nowhere"),
    "a computation": (r'data-evidence="\[&#34;low', 'data-evidence="[&#34;up', "there is no computation 'up'"),
    "a source": (r'data-evidence="/record/model"', 'data-evidence="model"', "'risk' has no evidence"),
    "a form": (r'data-form="count"', 'data-form="loud"', "has the unknown form 'loud'"),
    "where it leads": (r'href="#e-record-1"', 'href="#e-record-2"', "leads to #e-record-2, and its evidence is"),
    "the step on hovering": (r'title="run [^"]*, step 10,', 'title="run x, step 99,', "leads to #e-record"),
    "the record": (r'data-record="[0-9a-f]{12}', 'data-record="000000000000', "the card is of the record 000000000000"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_changed_is_found(name: str, page: str, evidence: Evidence) -> None:
    was, becomes, said = CHANGED[name]
    changed, count = re.subn(was, becomes, page, count=1)
    assert count == 1
    problems = lint_card(changed, evidence, STATED)
    assert any(said in one for one in problems), problems


LEFT_OUT = {
    "a failed verdict": ("/record/verdicts/2/outcome", "the verdict on fairness/parity is not on the card"),
    "why there is silence": ("/record/verdicts/5/reason", "uncertainty/calibration was not evaluated"),
    "the ruling": ("/ruling/admitted", "the gate ruled, and the card does not say how"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_is_found(name: str, page: str, evidence: Evidence) -> None:
    pointer, said = LEFT_OUT[name]
    problems = lint_card(re.sub(cell(pointer), "", page), evidence, STATED)
    assert any(said in one for one in problems), problems


def test_what_nobody_stated_must_be_said(page: str, evidence: Evidence) -> None:
    problems = lint_card(page.replace('data-missing="licence"', ""), evidence, STATED)
    assert problems == ["nobody stated licence, and the card does not say so"]


def test_the_files_of_the_run_are_asked_for(evidence: Evidence) -> None:
    def with_files(*paths: str, intact: bool = True) -> Evidence:
        return replace(evidence, tracked=Tracked(ended="", artifacts=frozenset(paths), intact=intact, curves={}))

    def problems(found: Evidence) -> list[str]:
        return lint_card(model_card(found), found)

    kept = "safeguards/verdicts.jsonl"
    assert problems(with_files(kept)) == []
    assert problems(with_files()) == [f"the artifact {kept} is cited, and the run does not have it"]
    (said,) = problems(with_files(kept, intact=False))
    assert "holds other verdicts than the record" in said


def test_a_card_of_another_record_is_none_of_this(page: str) -> None:
    other: Any = evidence_of(record(seeds={"torch": 8}), champion=champion(), ruling=Ruling(admitted=False))
    problems = lint_card(page, other, STATED)
    assert "'7' is not what its evidence says: '8' at /record/seeds/torch" in problems
    assert any("the card is of the record" in one for one in problems)
