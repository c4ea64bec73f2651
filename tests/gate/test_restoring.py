"""A rollback goes back and never forth, and one that was stopped is finished by the next."""

import pytest

from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.gate import audit, promote, rollback
from tests.gate.evidence import policy
from tests.gate.memory import MemoryRegistry, Store
from tests.gate.test_crashes import Stopped, counting, stopping, stopping_before
from tests.gate.test_promotion import ASKED, entries, make

pytestmark = pytest.mark.usefixtures("at_once")


def crowned(place, registry, number):
    """That many champions, one after the other."""
    for seed in range(number):
        folder, _ = make(place / str(seed), registry, seed=seed)
        assert promote(folder, policy=ASKED, registry=registry).admitted


def moves(registry):
    return [(one.before, one.after) for one in entries(registry) if one.action == "rolled back"]


def test_again_and_again_it_goes_further_back(tmp_path, registry):
    crowned(tmp_path, registry, 3)
    assert [rollback(registry), rollback(registry)] == [2, 1]
    with pytest.raises(RegistryError, match="no earlier champion"):
        rollback(registry)
    assert (registry.champion(), moves(registry)) == (1, [(3, 2), (2, 1)])
    assert rollback(registry, to=3) == 3, "what is named may lie ahead"
    assert rollback(registry) == 1
    folder, _ = make(tmp_path / "next", registry, seed=9)
    assert promote(folder, policy=ASKED, registry=registry).version == 4
    assert rollback(registry) == 1, "not to a champion that was taken off before the last was promoted"


@pytest.mark.parametrize("to", [None, 2])
def test_stopped_at_any_step_and_run_again_it_ends_the_same(tmp_path, to):
    store = Store(tmp_path / "store")
    crowned(tmp_path, MemoryRegistry(store), 3)
    whole, steps = copied(store), []
    rollback(MemoryRegistry(whole, at=counting(steps)), to=to)
    assert steps[-1].startswith("after tag"), "then all of it was done, and the next by default goes further"
    for at in range(1, len(steps)):
        part = copied(store)
        with pytest.raises(Stopped):
            rollback(MemoryRegistry(part, at=stopping(at)), to=to)
        assert rollback(MemoryRegistry(part), to=to) == 2
        assert (part.alias, moves(MemoryRegistry(part))) == (2, [(3, 2)]), steps[at - 1]
        assert audit(MemoryRegistry(part)) == []


def test_another_version_may_be_named_after_one_that_was_stopped(tmp_path):
    store = Store(tmp_path / "store")
    crowned(tmp_path, MemoryRegistry(store), 3)
    with pytest.raises(Stopped):
        rollback(MemoryRegistry(store, at=stopping_before("point")))
    assert rollback(MemoryRegistry(store), to=1) == 1
    assert (store.alias, moves(MemoryRegistry(store))) == (1, [(3, 2), (2, 1)])


@pytest.mark.parametrize(
    ("asked", "why"),
    [(policy(classes=["other.*"]), "not among those that may be loaded"), (ASKED, "numbers differ")],
)
def test_with_a_policy_the_model_must_load_and_predict(tmp_path, registry, monkeypatch, asked, why):
    crowned(tmp_path, registry, 2)
    before = registry.history()
    with monkeypatch.context() as patched:
        patched.setattr("tests.gate.nets.Net.forward", lambda self, x: self.network(x) * 2)
        with pytest.raises(EvidenceError, match=f"version 1 does not predict here any more: .*{why}"):
            rollback(registry, policy=asked)
    assert (registry.champion(), registry.history()) == (2, before)
    assert rollback(registry, policy=ASKED) == 1


def copied(store):
    """Another store with the same in it; the files, which nobody changes, are shared."""
    other = Store(store.folder)
    other.kept, other.entries = dict(store.kept), dict(store.entries)
    other.born, other.alias = store.born, store.alias
    return other
