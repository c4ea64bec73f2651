"""What never got a version is in the history all the same: who asked, when, why, and every reason; once."""

import os
from datetime import timedelta

import pytest

from safeguards import ConfigurationError
from safeguards.core.errors import RegistryError
from safeguards.gate import audit, champion, countersign, promote, rollback
from tests.core.test_signing import keys
from tests.gate.evidence import GOOD, NOW, C, policy
from tests.gate.test_countersigning import have
from tests.gate.test_promotion import ASKED, entries, make
from tests.gate.test_restoring import crowned
from tests.tracking.looking import endless

__all__ = ["have", "keys"]
pytestmark = pytest.mark.usefixtures("at_once")


def spoilt(place, registry, how):
    """A challenger, and what is written of its record."""
    folder, sealed = make(place / "next", registry, seed=5, verdicts=GOOD[:1], model=how if how == "churn" else "risk")
    if how == "weights":
        (folder / "model" / "weights.safetensors").write_bytes(b"other")
    return folder, "" if how == "weights" else sealed.digest


@pytest.mark.parametrize("how", ["weights", "churn", "prediction"])
def test_each_such_refusal_is_written_once_and_changes_nothing_else(tmp_path, registry, monkeypatch, how):
    crowned(tmp_path, registry, 1)
    folder, record = spoilt(tmp_path, registry, how)
    before = registry.versions()
    if how == "prediction":
        monkeypatch.setattr("safeguards.gate.promotion.check_in_a_fresh_process", lambda *_, **__: "it took too long")
    rulings = [
        promote(folder, policy=ASKED, registry=registry, why="weekly", who=who, now=NOW + timedelta(days=number))
        for number, who in enumerate(("R. Meyer", "cron"))
    ]
    assert not any(one.admitted for one in rulings)
    assert all(one.version is None for one in rulings)
    _, told = entries(registry)
    assert (told.action, told.who, told.when) == ("turned away", "R. Meyer", NOW.isoformat())
    assert (told.before, told.after, told.version, told.record) == (1, 1, 0, record)
    assert all(reason.replace(f"{folder}/", "") in told.why for reason in rulings[0].reasons)
    assert told.why.endswith("(weekly)")
    assert str(tmp_path) not in told.why
    assert (registry.versions(), registry.champion(), audit(registry, now=NOW + timedelta(days=9999))) == (
        before,
        1,
        [],
    )


def test_it_settles_nothing_and_counts_as_no_attempt(tmp_path, registry, monkeypatch):
    asked = policy(tracked=False, planned_attempts=2)
    crowned(tmp_path, registry, 1)
    folder, _ = make(tmp_path / "next", registry, seed=5)
    with monkeypatch.context() as patched:
        for why in ("it took too long", "no memory", "no package"):
            patched.setattr("safeguards.gate.promotion.check_in_a_fresh_process", lambda *_, why=why, **__: why)
            promote(folder, policy=asked, registry=registry)
    assert [one.action for one in entries(registry)] == ["promoted", *["turned away"] * 3]
    assert promote(folder, policy=asked, registry=registry).version == 2
    assert rollback(registry) == 1
    assert champion(registry, tmp_path / "fetched").record.digest == entries(registry)[0].record


def test_a_reason_that_holds_what_differs_each_night_is_written_once(tmp_path, registry, monkeypatch):
    crowned(tmp_path, registry, 1)
    folder, _ = make(tmp_path / "next", registry, seed=5)
    for night in range(3):
        why = f"no answer from 127.0.0.1:{4000 + night} for /tmp/night-{night} at {night:#x}"
        monkeypatch.setattr("safeguards.gate.promotion.check_in_a_fresh_process", lambda *_, why=why, **__: why)
        assert why in promote(folder, policy=ASKED, registry=registry).reasons[0]
    assert [one.action for one in entries(registry)] == ["promoted", "turned away"]
    (folder / "model" / "weights.safetensors").write_bytes(b"other")
    promote(folder, policy=ASKED, registry=registry)
    assert len(entries(registry)) == 3, "another kind of reason"


def test_another_challenger_that_cannot_be_read_is_written_too(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    for seed in (5, 6):
        folder, _ = make(tmp_path / f"next{seed}", registry, seed=seed)
        (folder / "model" / "weights.safetensors").write_bytes(b"other")
        for night in range(2):
            later = folder.rename(tmp_path / f"night-{night}-{seed}")
            promote(later, policy=ASKED, registry=registry)
            folder = later
    assert [one.action for one in entries(registry)] == ["promoted", "turned away", "turned away"]


@pytest.mark.parametrize("lies", ["nothing", "link", "folder"])
def test_nor_are_two_without_a_record_the_same(tmp_path, registry, lies):
    crowned(tmp_path, registry, 1)
    for seed in (5, 6):
        folder, _ = make(tmp_path / f"next{seed}", registry, seed=seed)
        record = folder / "record.json"
        record.unlink()
        if lies == "link":
            record.symlink_to(tmp_path / "elsewhere")
        elif lies == "folder":
            record.mkdir()
        for _ in range(2):
            promote(folder, policy=ASKED, registry=registry)
    assert [one.action for one in entries(registry)] == ["promoted", "turned away", "turned away"]


def test_a_challenger_without_a_record_is_read_within_bounds(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    folder, _ = make(tmp_path / "next", registry, seed=5)
    (folder / "record.json").unlink()
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 43)
    (folder / "all").symlink_to("/")
    os.mkfifo(folder / "pipe")
    with endless(folder):
        assert promote(folder, policy=ASKED, registry=registry).reasons[0].startswith("evidence: ")
    assert len(entries(registry)) == 2


def test_another_reason_of_the_same_kind_is_written_too(tmp_path, registry, have):
    have("ours", "ours")
    crowned(tmp_path, registry, 1)
    folder, _ = make(tmp_path / "next", registry, seed=5)
    signature = (folder / "record.json.sig").rename(tmp_path / "away")
    for _ in range(2):
        promote(folder, policy=ASKED, registry=registry)
    signature.rename(folder / "record.json.sig")
    (folder / "model" / "weights.safetensors").write_bytes(b"other")
    for _ in range(2):
        promote(folder, policy=ASKED, registry=registry)
    unsigned, changed = (one.why for one in entries(registry)[1:])
    assert "no signature" in unsigned
    assert "weights" in changed


def test_another_policy_or_another_champion_is_another_question(tmp_path, registry):
    crowned(tmp_path, registry, 2)
    folder, _ = spoilt(tmp_path, registry, "weights")
    for asked in (ASKED, policy(tracked=False, maximum_age_days=3)):
        promote(folder, policy=asked, registry=registry)
    rollback(registry)
    for _ in range(2):
        promote(folder, policy=ASKED, registry=registry)
    actions = [one.action for one in entries(registry)][2:]
    assert actions == ["turned away", "turned away", "rolled back", "turned away"]


def test_a_model_that_the_store_does_not_know_is_not_made_for_it(tmp_path, registry):
    folder, _ = spoilt(tmp_path, registry, "weights")
    assert promote(folder, policy=ASKED, registry=registry).reasons[0].startswith("evidence: ")
    assert registry.history() == []


def test_beside_versions_that_no_gate_made_a_first_candidate_may_follow_one_turned_away(tmp_path, registry):
    """Its record is chained to none, as sealing it again would be: what was turned away got no version to chain to."""
    (tmp_path / "old").mkdir()
    registry.register(tmp_path / "old", C, tags={})
    folder, _ = spoilt(tmp_path, registry, "churn")
    promote(folder, policy=ASKED, registry=registry)
    assert [one.action for one in entries(registry)] == ["turned away"]
    folder, _ = make(tmp_path / "mended", registry, seed=6)
    assert promote(folder, policy=ASKED, registry=registry).reasons == ()


def test_who_is_overtaken_writes_the_next_entry(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    folder, _ = spoilt(tmp_path, registry, "weights")
    other, _ = make(tmp_path / "other", registry, seed=6)
    registry.overtaken_by(lambda host: promote(other, policy=ASKED, registry=host).admitted)
    promote(folder, policy=ASKED, registry=registry)
    assert [(one.action, one.after) for one in entries(registry)][1:] == [("promoted", 2), ("turned away", 2)]


def test_where_entries_are_signed_it_is_signed_and_another_key_vouches_for_it(tmp_path, registry, have):
    have("ours", "ours")
    crowned(tmp_path, registry, 1)
    folder, _ = spoilt(tmp_path, registry, "churn")
    have(None, "ours")
    with pytest.raises(ConfigurationError, match="SAFEGUARDS_SIGNING_KEY"):
        promote(folder, policy=ASKED, registry=registry)
    have("ours", "ours")
    promote(folder, policy=ASKED, registry=registry)
    have("theirs", "ours", "theirs")
    assert countersign(registry) == 3
    have("theirs", "theirs")
    assert audit(registry) == []
    (only,) = (tmp_path / "store" / "records").iterdir()
    assert only.name == entries(registry)[0].record, "no folder is made for a record without a version"


def test_a_history_that_was_changed_takes_no_entry(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    folder, _ = spoilt(tmp_path, registry, "weights")
    registry.store.entries[1] = registry.store.entries[1].replace("promoted", "refused", 1)
    with pytest.raises(RegistryError, match="was changed"):
        promote(folder, policy=ASKED, registry=registry)
    assert len(registry.history()) == 1
