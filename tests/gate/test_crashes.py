"""A promotion that is stopped before or after any of its steps and run again ends as one that was not stopped."""

import multiprocessing
import os
import signal

import pytest

from safeguards.gate import audit, champion, promote, rollback
from safeguards.gate.following import MOVING
from safeguards.tracking import ModelRegistry
from tests.gate.evidence import GOOD
from tests.gate.memory import MemoryRegistry, Store
from tests.gate.test_promotion import ASKED, entries, make, states

pytestmark = pytest.mark.usefixtures("at_once")


class Stopped(BaseException):
    """As kill -9: nothing after it runs, no handler of ``Exception`` sees it."""


def counting(steps):
    return lambda step: steps.append(step)


def stopping(at):
    """Stops at the ``at``-th step."""
    seen = []

    def stop(step):
        seen.append(step)
        if len(seen) == at:
            raise Stopped(step)

    return stop


def told(store):
    """What a registry says of itself, without the marks of time."""
    registry = MemoryRegistry(store)
    moves = [(one.action, one.before, one.after, one.version, one.record) for one in entries(registry)]
    tags = [
        {key: value for key, value in one.tags.items() if not key.endswith(("ruling", "moving"))}
        for one in registry.versions()
    ]
    return registry.champion(), states(registry), moves, tags


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A champion's folder, a challenger's that is promoted and one's that is refused."""
    place, root = MemoryRegistry(Store(tmp_path_factory.mktemp("first"))), tmp_path_factory.mktemp("folders")
    first, _ = make(root / "a", place)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("safeguards.gate.promotion.check_in_a_fresh_process", lambda *_, **__: None)
        promote(first, policy=ASKED, registry=place)
    good, _ = make(root / "b", place, seed=1)
    bad, _ = make(root / "c", place, seed=2, verdicts=GOOD[:1])
    return {"first": first, "good": good, "bad": bad}


def begun(folder, folders):
    registry = MemoryRegistry(Store(folder))
    assert promote(folders["first"], policy=ASKED, registry=registry).admitted
    return registry.store


@pytest.mark.parametrize("which", ["good", "bad"])
def test_stopped_at_any_step_and_run_again(which, folders, tmp_path):
    steps: list[str] = []
    store = begun(tmp_path / "whole", folders)
    promote(folders[which], policy=ASKED, registry=MemoryRegistry(store, at=counting(steps)))
    expected = told(store)
    assert len(steps) > 8
    assert audit(MemoryRegistry(store)) == []
    for at in range(1, len(steps) + 1):
        store = begun(tmp_path / f"{which}-{at}", folders)
        with pytest.raises(Stopped):
            promote(folders[which], policy=ASKED, registry=MemoryRegistry(store, at=stopping(at)))
        assert all(one.tags["safeguards.state"] for one in MemoryRegistry(store).versions()), "no orphan without a tag"
        again = promote(folders[which], policy=ASKED, registry=MemoryRegistry(store))
        assert again.admitted == (which == "good")
        assert told(store) == expected, steps[at - 1]
        assert audit(MemoryRegistry(store)) == []


def test_whoever_comes_next_finishes_what_was_stopped(folders, tmp_path):
    """Between its entry in the history and the alias: the next to enter the gate moves it."""
    store = begun(tmp_path / "store", folders)
    with pytest.raises(Stopped):
        promote(folders["good"], policy=ASKED, registry=MemoryRegistry(store, at=stopping_before("point")))
    assert store.alias == 1
    reasons = promote(folders["bad"], policy=ASKED, registry=MemoryRegistry(store)).reasons
    assert any(reason.startswith("champion: it was compared with") for reason in reasons)
    assert (store.alias, states(MemoryRegistry(store))) == (2, {1: "promoted", 2: "promoted", 3: "refused"})


def test_who_moves_the_alias_too_late_and_is_killed_is_put_right_by_the_next(folders, tmp_path):
    """Stalled before its alias while another was promoted: it is behind the history, and nobody moved it outside."""
    store, third = begun(tmp_path / "store", folders), []

    def stall(step):
        if step == "before point" and not third:
            third.append(step)
            folder, _ = make(tmp_path / "third", MemoryRegistry(store), seed=5)
            assert promote(folder, policy=ASKED, registry=MemoryRegistry(store)).admitted
        elif step == "after point" and third:
            raise Stopped(step)

    with pytest.raises(Stopped):
        promote(folders["good"], policy=ASKED, registry=MemoryRegistry(store, at=stall))
    assert (store.alias, entries(MemoryRegistry(store))[-1].after) == (2, 3)
    assert "was stopped before its alias moved" in str(audit(MemoryRegistry(store))[0])
    assert (
        champion(MemoryRegistry(store), tmp_path / "champion").record.digest
        == entries(MemoryRegistry(store))[-1].record
    )
    assert (store.alias, audit(MemoryRegistry(store))) == (3, [])
    store.alias = 2
    assert "was moved outside of the gate" in str(audit(MemoryRegistry(store))[0]), "the mark is gone"


def test_a_mark_of_long_ago_is_nobodys(folders, tmp_path):
    store = begun(tmp_path / "store", folders)
    promote(folders["good"], policy=ASKED, registry=MemoryRegistry(store))
    store.alias = 1
    for mark in ("2020-01-01T00:00:00+00:00 0a1b2c3d", "done", "x", ""):
        MemoryRegistry(store).tag(1, {MOVING: mark})
        assert "was moved outside of the gate" in str(audit(MemoryRegistry(store))[0])


def stopping_before(word):
    def stop(step):
        if step == f"before {word}":
            raise Stopped(step)

    return stop


def test_a_rollback_that_was_stopped(folders, tmp_path):
    steps: list[str] = []
    store = begun(tmp_path / "whole", folders)
    promote(folders["good"], policy=ASKED, registry=MemoryRegistry(store))
    rollback(MemoryRegistry(store, at=counting(steps)), to=1)
    expected = told(store)
    for at in range(1, len(steps) + 1):
        store = begun(tmp_path / f"{at}", folders)
        promote(folders["good"], policy=ASKED, registry=MemoryRegistry(store))
        with pytest.raises(Stopped):
            rollback(MemoryRegistry(store, at=stopping(at)), to=1)
        assert rollback(MemoryRegistry(store), to=1) == 1
        assert told(store)[0] == 1
        assert {**told(store)[1]} == expected[1]
        assert audit(MemoryRegistry(store)) == []


def test_an_alias_that_was_put_back_by_hand_is_not_taken_for_a_crash(folders, tmp_path):
    """The same alias as after a crash; but the promotion was finished, and somebody moved it back outside."""
    store = begun(tmp_path / "store", folders)
    promote(folders["good"], policy=ASKED, registry=MemoryRegistry(store))
    store.alias = 1
    assert [str(one) for one in audit(MemoryRegistry(store))] == [
        "alias: champion was moved outside of the gate to version 1; the history says 2"
    ]


def promote_until(folder, method):
    """Kill -9 once a call of the registry has come back."""
    sound = getattr(ModelRegistry, method)

    def killed(*args, **kwargs):
        sound(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(ModelRegistry, method, killed)
    promote(folder, policy=ASKED, registry=ModelRegistry("risk"))


def test_in_mlflow_killed_for_real_three_times_over(tmp_path, in_mlflow):
    """One candidate, ever later: after it was registered, after its entry was written, after its alias was moved."""
    folder, sealed = make(tmp_path / "a", in_mlflow)
    for method in ("register", "append", "point"):
        process = multiprocessing.get_context("fork").Process(target=promote_until, args=(folder, method))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    assert promote(folder, policy=ASKED, registry=ModelRegistry("risk")).admitted
    assert in_mlflow.champion() == 1
    (version,) = in_mlflow.versions()
    assert (version.tags["safeguards.state"], version.tags["safeguards.record"]) == ("promoted", sealed.digest)
    assert len(entries(in_mlflow)) == 1
    assert audit(in_mlflow) == []
