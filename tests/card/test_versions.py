"""Cards out of a registry: the newest versions and the champion, with the ruling that the history tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from safeguards.card import VersionCard, write_cards
from safeguards.core.errors import ConfigurationError, RegistryError
from safeguards.gate import champion, promote
from tests.gate.conftest import at_once, registry
from tests.gate.evidence import GOOD, candidate, policy
from tests.helpers.markup import Parsed

__all__ = ["at_once", "registry"]

ASKED = policy(tracked=False)


@pytest.fixture
def reviewed(tmp_path: Path, registry: Any, at_once: None) -> Any:
    """Version 1 was promoted, 2 and 3 were refused: each asks for a verdict that they lack."""
    current = None
    for number, verdicts in enumerate((GOOD, GOOD[:1], GOOD[1:]), 1):
        place = tmp_path / str(number)
        place.mkdir()
        given = {"champion": current, "previous": registry.newest_record(), "tracking_run": None}
        folder, _ = candidate(place, seed=number, verdicts=verdicts, **given)
        promote(folder, policy=ASKED, registry=registry, why="weekly", who="Ann")
        current = current or champion(registry, place / "champion").record  # type: ignore[union-attr]
    return registry


def text(card: VersionCard) -> str:
    assert card.path is not None, card.problem
    return Parsed(card.path.read_text()).text


def test_the_newest_and_the_champion_have_cards(reviewed: Any, tmp_path: Path) -> None:
    cards = write_cards(reviewed, tmp_path / "cards", newest=1)
    assert [(card.version, card.path, card.problem) for card in cards] == [
        (1, tmp_path / "cards" / "risk-1.html", ""),
        (3, tmp_path / "cards" / "risk-3.html", ""),
    ]
    assert [card.version for card in write_cards(reviewed, tmp_path / "cards", newest=0)] == [1]
    assert [card.version for card in write_cards(reviewed, tmp_path / "cards")] == [1, 2, 3]


def test_each_tells_how_the_gate_ruled_and_what_came_before(reviewed: Any, tmp_path: Path) -> None:
    first, second, _ = map(text, write_cards(reviewed, tmp_path))
    assert "The gate admitted it" in first
    assert "There was no champion to compare with." in first
    assert "The gate refused it" in second
    assert "adversarial/robust_accuracy" in second.partition("The gate refused it")[2].partition("Verdicts")[0]
    assert "Judged for the champion, and not for this model adversarial robust_accuracy" in second
    assert second.count("Ann") == 3
    assert second.count("(this one)") == 1


def test_tags_that_anyone_can_set_are_not_believed(reviewed: Any, tmp_path: Path) -> None:
    reviewed.tag(2, {"safeguards.ruling": '{"admitted":true,"reasons":[],"waived":[]}', "safeguards.state": "promoted"})
    assert "The gate refused it" in text(write_cards(reviewed, tmp_path)[1])


def test_a_record_that_was_changed_has_no_card_any_more(reviewed: Any, tmp_path: Path) -> None:
    write_cards(reviewed, tmp_path / "cards")
    digest = reviewed.versions()[1].tags["safeguards.record"]
    (file,) = tmp_path.glob(f"store/**/{digest}/record.json")
    file.write_bytes(file.read_bytes().replace(b"0.05", b"0.04"))
    cards = write_cards(reviewed, tmp_path / "cards")
    assert [card.path is None for card in cards] == [False, True, False]
    assert "was changed after it was sealed" in cards[1].problem
    assert sorted(path.name for path in (tmp_path / "cards").iterdir()) == ["risk-1.html", "risk-3.html"]


def test_a_store_that_fails_leaves_the_cards_that_there_are(
    reviewed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a store does not give for a moment says nothing against the card that was made of it."""
    earlier = [(card.path, text(card)) for card in write_cards(reviewed, tmp_path / "cards")]

    def down(*_: Any) -> None:
        raise RegistryError("the store does not answer")

    monkeypatch.setattr(reviewed, "fetch", down)
    cards = write_cards(reviewed, tmp_path / "cards")
    assert [(card.path, card.problem) for card in cards] == [(None, "the store does not answer")] * 3
    assert [(path, Parsed(path.read_text()).text) for path, _ in earlier if path] == earlier


def test_a_history_that_was_changed_gives_no_cards(reviewed: Any, tmp_path: Path) -> None:
    entries = reviewed.store.entries
    entries[2] = entries[2].replace("refused", "promoted")
    with pytest.raises(RegistryError, match="the history of 'risk' was changed"):
        write_cards(reviewed, tmp_path / "cards")
    with pytest.raises(ConfigurationError, match="expected 0 or more"):
        write_cards(reviewed, tmp_path / "cards", newest=-1)
