"""Keys that are introduced, change and are missing: nothing is written that would stop the next promotion."""

import os

import pytest

from safeguards import ConfigurationError
from safeguards.core.errors import RegistryError
from safeguards.gate import History, audit, champion, countersign, promote, rollback
from tests.core.test_signing import keys
from tests.gate.memory import MemoryRegistry, Store
from tests.gate.test_crashes import Stopped, counting, stopping, stopping_before
from tests.gate.test_promotion import ASKED, entries, make, states

__all__ = ["keys"]
pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def have(keys, monkeypatch):
    """This host signs with one key, or with none, and trusts these."""

    def set_keys(signing, *trusted):
        for name, files in {
            "SAFEGUARDS_SIGNING_KEY": [f"{keys}/{signing}.pem"] if signing else [],
            "SAFEGUARDS_VERIFYING_KEYS": [f"{keys}/{name}.pub" for name in trusted],
        }.items():
            monkeypatch.setenv(name, os.pathsep.join(files))

    return set_keys


def promoted(place, registry, seed):
    folder, _ = make(place / str(seed), registry, seed=seed)
    return promote(folder, policy=ASKED, registry=registry)


@pytest.mark.parametrize("signing", [None, "theirs"])
def test_a_host_that_cannot_sign_writes_nothing(tmp_path, registry, have, signing):
    have("ours", "ours")
    assert promoted(tmp_path, registry, 0).admitted
    folder, _ = make(tmp_path / "next", registry, seed=1)
    before = registry.history(), registry.versions()
    have(signing, "ours")
    for ask in (
        lambda: promote(folder, policy=ASKED, registry=registry),
        lambda: rollback(registry, to=1),
        lambda: countersign(registry),
    ):
        with pytest.raises(ConfigurationError, match="SAFEGUARDS_SIGNING_KEY"):
            ask()
    assert (registry.history(), registry.versions()) == before
    have("ours", "ours")
    assert promote(folder, policy=ASKED, registry=registry).admitted
    assert audit(registry) == []


def test_keys_are_introduced(tmp_path, registry, have):
    promoted(tmp_path, registry, 0)
    promoted(tmp_path, registry, 1)
    have("ours", "ours")
    for ask in (lambda: rollback(registry, to=1), lambda: champion(registry, tmp_path / "x")):
        with pytest.raises(RegistryError, match=r"entry 1: it is not signed; .* safeguards countersign"):
            ask()
    assert countersign(registry, why="from now on we sign", who="R. Meyer") == 3
    assert (entries(registry)[2].action, entries(registry)[2].who) == ("countersigned", "R. Meyer")
    assert audit(registry) == []
    assert promoted(tmp_path, registry, 2).version == 3
    assert [rollback(registry), rollback(registry)] == [2, 1]
    assert audit(registry) == []


def test_a_key_takes_the_place_of_another(tmp_path, registry, have):
    have("ours", "ours")
    promoted(tmp_path, registry, 0)
    have("theirs", "ours", "theirs")
    assert countersign(registry) == 2
    have("theirs", "theirs")
    assert audit(registry) == []
    assert promoted(tmp_path, registry, 1).admitted
    assert rollback(registry) == 1


def test_a_key_that_was_lost_at_once(tmp_path, registry, have):
    """It is trusted no longer, and what it signed is looked at and vouched for by the next."""
    have("ours", "ours")
    promoted(tmp_path, registry, 0)
    have("theirs", "theirs")
    assert any("not among those trusted here" in str(one) for one in audit(registry))
    countersign(registry)
    assert audit(registry) == []


def test_nobody_else_vouches_for_a_history(tmp_path, registry, have):
    promoted(tmp_path, registry, 0)
    have("theirs")
    countersign(registry)
    have("ours", "ours")
    assert any("entry 1: it is not signed" in str(one) for one in audit(registry))


def test_after_it_each_entry_is_signed(tmp_path, registry, have):
    promoted(tmp_path, registry, 0)
    have("ours", "ours")
    countersign(registry)
    forged = History.of(registry.history()).next(
        when="2026-11-28",
        who="gate",
        action="refused",
        why="",
        before=1,
        after=1,
        version=1,
        record="a" * 64,
        policy="",
    )
    registry.append(3, forged.text(None))
    with pytest.raises(RegistryError, match="entry 3"):
        promoted(tmp_path, registry, 1)


def test_a_history_that_was_edited_is_not_vouched_for(tmp_path, registry, have):
    promoted(tmp_path, registry, 0)
    promoted(tmp_path, registry, 1)
    have("ours", "ours")
    registry.store.entries[1] = registry.store.entries[1].replace("promoted", "refused", 1)
    before = registry.history()
    with pytest.raises(RegistryError, match="was changed"):
        countersign(registry)
    assert registry.history() == before


def test_there_must_be_something_to_vouch_for(registry, have):
    with pytest.raises(ConfigurationError, match="SAFEGUARDS_SIGNING_KEY"):
        countersign(registry)
    have("ours")
    with pytest.raises(RegistryError, match="has no history yet"):
        countersign(registry)


def test_a_promotion_that_was_stopped_is_finished_by_it(tmp_path, have):
    """By a host without keys, which left its entry unsigned."""
    store = Store(tmp_path / "store")
    promoted(tmp_path, MemoryRegistry(store), 0)
    with pytest.raises(Stopped):
        promoted(tmp_path, MemoryRegistry(store, at=stopping_before("point")), 1)
    have("ours", "ours")
    kept = dict(store.entries), dict(store.kept), store.alias
    steps = []
    countersign(MemoryRegistry(store, at=counting(steps)))
    assert (store.alias, states(MemoryRegistry(store))) == (2, {1: "promoted", 2: "promoted"})
    for at in range(1, len(steps) + 1):
        store.entries, store.kept, store.alias = dict(kept[0]), dict(kept[1]), kept[2]
        with pytest.raises(Stopped):
            countersign(MemoryRegistry(store, at=stopping(at)))
        countersign(MemoryRegistry(store))
        assert audit(MemoryRegistry(store)) == [], steps[at - 1]
        assert store.alias == 2


def test_a_host_that_signs_and_knows_only_its_own_key_takes_no_record_without_it(tmp_path, registry, have):
    folder, sealed = make(tmp_path / "a", registry)
    have("ours")
    assert "no signature" in promote(folder, policy=ASKED, registry=registry).reasons[0]
    assert registry.history() == []
    sealed.write(folder / "record.json")
    assert promote(folder, policy=ASKED, registry=registry).admitted
    have("theirs")
    again, _ = make(tmp_path / "b", registry, seed=1)
    have("ours")
    assert "not among those trusted" in promote(again, policy=ASKED, registry=registry).reasons[0]


def test_in_mlflow(tmp_path, in_mlflow, have):
    promoted(tmp_path, in_mlflow, 0)
    have("ours", "ours")
    countersign(in_mlflow)
    assert audit(in_mlflow) == []
    assert promoted(tmp_path, in_mlflow, 1).admitted
    assert rollback(in_mlflow) == 1
    assert audit(in_mlflow) == []
