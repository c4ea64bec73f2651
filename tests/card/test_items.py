"""What a reviewer expects in a model's record has its place on every card: told from evidence, or asked from people."""

from __future__ import annotations

from dataclasses import fields

import pytest

from safeguards.card import Stated, evidence_of, model_card
from safeguards.gate import History
from tests.card.records import champion, record
from tests.helpers.markup import Parsed

ITEMS = {
    "identity": {"owner", "licence", "Sealed", "previous record"},
    "intended purpose and misuse": {"intended_purpose", "intended_users", "out_of_scope", "foreseeable_misuse"},
    "software and hardware": {"hardware_and_software", "code", "lock"},
    "development and third-party parts": {"development", "third_party_parts"},
    "design choices": {"design_choices"},
    "architecture and compute": {"architecture", "energy", "Cost by safeguard"},
    "data": {"data", "Fingerprints of the data", "Columns against the reference"},
    "human oversight": {"human_oversight"},
    "pre-determined changes": {"planned_changes"},
    "tests, dated and signed for": {"tests_signed_by", "Verdicts", "Last judged"},
    "attacks": {"residual_security_risk", "Under attack", "Whether the attack can be trusted"},
    "performance by group": {"Performance by group", "Too small to judge"},
    "limits": {"limitations"},
    "why these measures, what could not be measured": {"why_these_measures", "not_measurable"},
    "risk register": {"risks"},
    "difference to the champion": {"Difference to the champion", "Compared on the same rows"},
    "standards": {"standards"},
    "monitoring after release": {"monitoring", "live audit"},
    "go or no go": {"approved_by", "Who decided what, and when", "Policy"},
    "off-switch": {"off_switch"},
    "integrity and retention": {"retention", "Integrity", "weights"},
    "not evaluated": {"Not evaluated", "Judged for the champion, and not for this model"},
    "freshness": {"Last judged", "Sealed"},
}


@pytest.fixture(scope="module")
def card() -> tuple[str, Parsed]:
    """With nothing stated, of a model that was compared with a champion."""
    told = {"who": "Ann", "why": "weekly", "policy": "a" * 64, "before": None, "after": 1, "version": 1}
    entry = History(entries=(), problems=()).next(when="2026-11-28", action="promoted", record="c" * 64, **told)
    history = History(entries=(entry,), problems=())
    page = model_card(evidence_of(record(), champion=champion(), history=history))
    return page, Parsed(page)


@pytest.mark.parametrize("item", ITEMS)
def test_an_item_is_told_or_said_to_be_missing(card: tuple[str, Parsed], item: str) -> None:
    page, seen = card
    asked = {one.name for one in fields(Stated)}
    assert {one for one in ITEMS[item] & asked if f'data-missing="{one}"' not in page} == set()
    assert {one for one in ITEMS[item] - asked if one not in seen.text} == set()


def test_there_are_23() -> None:
    assert len(ITEMS) == 23
