"""A card beside a record is the one that was attached, or the audit tells."""

import pytest

from safeguards import ConfigurationError
from safeguards.core.canonical import canonical, sha256
from safeguards.gate import attach_card, audit, champion, countersign
from tests.core.test_signing import keys
from tests.gate.test_auditing import found
from tests.gate.test_countersigning import have
from tests.gate.test_promotion import entries
from tests.gate.test_restoring import crowned

__all__ = ["have", "keys"]
pytestmark = pytest.mark.usefixtures("at_once")


def attached(place, registry, text="<p>a card"):
    """The digest of the newest record, and the file as the store keeps it."""
    (place / "card.html").write_text(text)
    digest = entries(registry)[-1].record
    attach_card(registry, digest, place / "card.html")
    return digest, place / "store" / "records" / digest / "card.html"


def note(registry, version=1):
    return next(one.tags["safeguards.card"] for one in registry.versions() if one.number == version)


def test_a_card_may_be_made_again(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    attached(tmp_path, registry)
    assert audit(registry) == []
    attached(tmp_path, registry, "<p>a later card")
    assert audit(registry) == []


@pytest.mark.parametrize("how", ["changed", "gone", "not noted", "no note"])
def test_a_card_that_was_changed_is_found_and_stops_no_gate(tmp_path, registry, how):
    crowned(tmp_path, registry, 1)
    _, file = attached(tmp_path, registry)
    if how == "changed":
        file.write_text("<p>a c@rd")
    if how == "gone":
        file.unlink()
    if how in ("not noted", "no note"):
        tags = registry.store.kept[1].tags
        del tags["safeguards.card"]
        tags.update({"safeguards.card": "{}"} if how == "no note" else {})
    (line,) = found(registry)
    assert line.startswith("version 1: ")
    says = {
        "changed": "its card.html was changed after it was attached",
        "gone": "its card.html is gone",
        "not noted": "was not attached by attach_card",
        "no note": "is no note of a card",
    }
    assert says[how] in line
    assert champion(registry, tmp_path / "fetched") is not None
    attached(tmp_path, registry)
    assert audit(registry) == []


def test_a_changed_card_noted_by_somebody_without_the_key_is_found(tmp_path, registry, have):
    have("ours", "ours")
    crowned(tmp_path, registry, 2)
    _, file = attached(tmp_path, registry)
    assert audit(registry) == []
    file.write_text("<p>another")
    forged = canonical({"card": sha256(b"<p>another"), "signature": None}).decode()
    registry.tag(2, {"safeguards.card": forged})
    assert "the signature of its card.html" in found(registry)[0]
    (tmp_path / "store" / "records" / entries(registry)[0].record / "card.html").write_text("<p>a card")
    attached(tmp_path, registry)
    registry.tag(1, {"safeguards.card": note(registry, 2)})
    (line,) = found(registry)
    assert line.startswith("version 1: the signature of its card.html is no signature of it")


def test_without_keys_whoever_changes_the_note_too_is_not_found(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    _, file = attached(tmp_path, registry)
    file.write_text("<p>another")
    registry.tag(1, {"safeguards.card": canonical({"card": sha256(b"<p>another"), "signature": None}).decode()})
    assert audit(registry) == []


def test_a_key_that_comes_later_vouches_for_cards_as_they_lie_there(tmp_path, registry, have):
    crowned(tmp_path, registry, 2)
    attached(tmp_path, registry)
    have("ours", "ours")
    countersign(registry)
    assert audit(registry) == []
    assert '"signature":"{' in note(registry, 2)


@pytest.mark.parametrize("name", ["card.txt", "other.html"])
def test_only_a_card_is_attached(tmp_path, registry, name):
    crowned(tmp_path, registry, 1)
    (tmp_path / name).write_text("x")
    with pytest.raises(ConfigurationError, match=r"expected a file of the name card\.html"):
        attach_card(registry, entries(registry)[0].record, tmp_path / name)


def test_in_mlflow(tmp_path, in_mlflow):
    crowned(tmp_path, in_mlflow, 1)
    (tmp_path / "card.html").write_text("<p>a card")
    attach_card(in_mlflow, entries(in_mlflow)[0].record, tmp_path / "card.html")
    assert audit(in_mlflow) == []
    in_mlflow.tag(1, {"safeguards.card": "{}"})
    assert "is no note of a card" in found(in_mlflow)[0]
